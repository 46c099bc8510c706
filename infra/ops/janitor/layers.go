package janitor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

// sweepLayer removes the versions of one layer that no function has.
func (w *work) sweepLayer(ctx context.Context, i *item) error {
	versions, err := w.listLayerVersions(ctx, i.name)
	if err != nil {
		return err
	}
	slices.SortFunc(versions, func(a, b types.LayerVersionsListItem) int { return int(a.Version - b.Version) })
	for _, v := range versions[:max(0, len(versions)-w.cfg.Keep)] {
		if v.Version <= i.after || !w.isOld(parseTime(v.CreatedDate)) {
			continue
		}
		if err := w.removeLayer(ctx, i.name, v); err != nil {
			return err
		}
		i.after = v.Version
	}
	return nil
}

func (w *work) listLayerVersions(ctx context.Context, name string) ([]types.LayerVersionsListItem, error) {
	var out []types.LayerVersionsListItem
	in := &lambda.ListLayerVersionsInput{LayerName: &name}
	for {
		if err := w.AwaitRequest(); err != nil {
			return nil, err
		}
		page, err := w.api.ListLayerVersions(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the versions of a layer: %w", err)
		}
		out = append(out, page.LayerVersions...)
		if page.NextMarker == nil {
			return out, nil
		}
		in.Marker = page.NextMarker
	}
}

func (w *work) removeLayer(ctx context.Context, name string, v types.LayerVersionsListItem) error {
	used, err := w.usedLayers(ctx)
	if err != nil || used[aws.ToString(v.LayerVersionArn)] {
		return err
	}
	shared, err := w.isShared(ctx, name, v.Version)
	if err != nil || shared {
		return err
	}
	size, err := w.layerSize(ctx, name, v.Version)
	if err != nil {
		return ignoreNotFound(err)
	}
	if !w.dryRun {
		if err := w.deleteLayer(ctx, name, v.Version); err != nil {
			return err
		}
	}
	w.report.addDeleted(name, true, int(v.Version), size)
	return nil
}

// layerUse is which layer versions are in use, as far as it is known.
type layerUse struct {
	arns   map[string]bool
	marker *string // where to go on
	known  bool
}

// usedLayers are those of all versions of all functions, read once a round, in as
// many sweeps as that takes. A function that takes up an old layer version after
// that keeps it: Lambda gives functions a copy of their own.
func (w *work) usedLayers(ctx context.Context) (map[string]bool, error) {
	for !w.use.known {
		if err := w.readUsePage(ctx, &w.use); err != nil {
			if !sweep.Stops(err) {
				w.use = layerUse{}
			}
			return nil, err
		}
	}
	return w.use.arns, nil
}

func (w *work) readUsePage(ctx context.Context, u *layerUse) error {
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	page, err := w.api.ListFunctions(ctx, &lambda.ListFunctionsInput{FunctionVersion: types.FunctionVersionAll, Marker: u.marker})
	if err != nil {
		return fmt.Errorf("list all versions of all functions: %w", err)
	}
	if u.arns == nil {
		u.arns = map[string]bool{}
	}
	for _, f := range page.Functions {
		for _, l := range f.Layers {
			u.arns[aws.ToString(l.Arn)] = true
		}
	}
	u.marker, u.known = page.NextMarker, page.NextMarker == nil
	return nil
}

// isShared reports whether a policy lets other accounts use a version; their use cannot
// be seen.
func (w *work) isShared(ctx context.Context, name string, number int64) (bool, error) {
	if err := w.AwaitRequest(); err != nil {
		return false, err
	}
	_, err := w.api.GetLayerVersionPolicy(ctx, &lambda.GetLayerVersionPolicyInput{LayerName: &name, VersionNumber: &number})
	var none *types.ResourceNotFoundException
	if errors.As(err, &none) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the policy of layer version %d: %w", number, err)
	}
	return true, nil
}

func (w *work) layerSize(ctx context.Context, name string, number int64) (int64, error) {
	if err := w.AwaitRequest(); err != nil {
		return 0, err
	}
	out, err := w.api.GetLayerVersion(ctx, &lambda.GetLayerVersionInput{LayerName: &name, VersionNumber: &number})
	if err != nil {
		return 0, fmt.Errorf("read layer version %d: %w", number, err)
	}
	if out.Content == nil {
		return 0, nil
	}
	return out.Content.CodeSize, nil
}

// deleteLayer deletes a layer version. Lambda answers with success if it was deleted
// before.
func (w *work) deleteLayer(ctx context.Context, name string, number int64) error {
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	if _, err := w.api.DeleteLayerVersion(ctx, &lambda.DeleteLayerVersionInput{LayerName: &name, VersionNumber: &number}); err != nil {
		return fmt.Errorf("delete layer version %d: %w", number, err)
	}
	return nil
}
