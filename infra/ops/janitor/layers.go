package janitor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// layer removes the versions of one layer that no function has.
func (s *sweep) layer(ctx context.Context, i *item) error {
	versions, err := s.layerVersions(ctx, i.name)
	if err != nil {
		return err
	}
	slices.SortFunc(versions, func(a, b types.LayerVersionsListItem) int { return int(a.Version - b.Version) })
	for _, v := range versions[:max(0, len(versions)-s.cfg.Keep)] {
		if v.Version <= i.after || !s.old(moment(v.CreatedDate)) {
			continue
		}
		if err := s.removeLayer(ctx, i.name, v); err != nil {
			return err
		}
		i.after = v.Version
	}
	return nil
}

func (s *sweep) layerVersions(ctx context.Context, name string) ([]types.LayerVersionsListItem, error) {
	var out []types.LayerVersionsListItem
	in := &lambda.ListLayerVersionsInput{LayerName: &name}
	for {
		if err := s.turn(); err != nil {
			return nil, err
		}
		page, err := s.api.ListLayerVersions(ctx, in)
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

func (s *sweep) removeLayer(ctx context.Context, name string, v types.LayerVersionsListItem) error {
	used, err := s.usedLayers(ctx)
	if err != nil || used[aws.ToString(v.LayerVersionArn)] {
		return err
	}
	shared, err := s.shared(ctx, name, v.Version)
	if err != nil || shared {
		return err
	}
	size, err := s.layerSize(ctx, name, v.Version)
	if err != nil {
		return gone(err)
	}
	if !s.dryRun {
		if err := s.deleteLayer(ctx, name, v.Version); err != nil {
			return err
		}
	}
	s.report.freed(name, true, int(v.Version), size)
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
func (s *sweep) usedLayers(ctx context.Context) (map[string]bool, error) {
	for !s.use.known {
		if err := s.usePage(ctx, &s.use); err != nil {
			if !stops(err) {
				s.use = layerUse{}
			}
			return nil, err
		}
	}
	return s.use.arns, nil
}

func (s *sweep) usePage(ctx context.Context, u *layerUse) error {
	if err := s.turn(); err != nil {
		return err
	}
	page, err := s.api.ListFunctions(ctx, &lambda.ListFunctionsInput{FunctionVersion: types.FunctionVersionAll, Marker: u.marker})
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

// shared says whether other accounts may use a version, which cannot be seen.
func (s *sweep) shared(ctx context.Context, name string, number int64) (bool, error) {
	if err := s.turn(); err != nil {
		return false, err
	}
	_, err := s.api.GetLayerVersionPolicy(ctx, &lambda.GetLayerVersionPolicyInput{LayerName: &name, VersionNumber: &number})
	var none *types.ResourceNotFoundException
	if errors.As(err, &none) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the policy of layer version %d: %w", number, err)
	}
	return true, nil
}

func (s *sweep) layerSize(ctx context.Context, name string, number int64) (int64, error) {
	if err := s.turn(); err != nil {
		return 0, err
	}
	out, err := s.api.GetLayerVersion(ctx, &lambda.GetLayerVersionInput{LayerName: &name, VersionNumber: &number})
	if err != nil {
		return 0, fmt.Errorf("read layer version %d: %w", number, err)
	}
	if out.Content == nil {
		return 0, nil
	}
	return out.Content.CodeSize, nil
}

// deleteLayer deletes what may be gone already, which Lambda takes for success.
func (s *sweep) deleteLayer(ctx context.Context, name string, number int64) error {
	if err := s.turn(); err != nil {
		return err
	}
	if _, err := s.api.DeleteLayerVersion(ctx, &lambda.DeleteLayerVersionInput{LayerName: &name, VersionNumber: &number}); err != nil {
		return fmt.Errorf("delete layer version %d: %w", number, err)
	}
	return nil
}
