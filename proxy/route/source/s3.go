package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// S3API is what [S3] needs of *s3.Client.
type S3API interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	ListObjectVersions(context.Context, *s3.ListObjectVersionsInput, ...func(*s3.Options)) (*s3.ListObjectVersionsOutput, error)
}

// S3 is an object of S3. It needs s3:GetObject, and s3:ListBucket so that a missing object is
// told from a forbidden one; to change it s3:PutObject, and for its history
// s3:ListBucketVersions, s3:GetObjectVersion and the bucket's versioning: without that there is
// one version, and what is replaced is lost. It is safe for concurrent use.
type S3 struct {
	client      S3API
	bucket, key string
}

// NewS3 keeps the document in an object of a bucket that exists. It sends nothing.
func NewS3(client S3API, bucket, key string) *S3 { return &S3{client, bucket, key} }

// String returns s3://bucket/key.
func (s *S3) String() string { return "s3://" + s.bucket + "/" + s.key }

// Read returns last if it still stands, by its ETag. S3 reads are consistent: what was written
// before is seen.
func (s *S3) Read(ctx context.Context, last *Document) (*Document, error) {
	in := &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key}
	if last != nil {
		in.IfNoneMatch = &last.tag
	}
	doc, err := s.get(ctx, in)
	if last != nil && awserr.Status(err) == http.StatusNotModified {
		return last, nil
	}
	return doc, err
}

func (s *S3) get(ctx context.Context, in *s3.GetObjectInput) (*Document, error) {
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		return nil, s.wrapError("read", err)
	}
	defer out.Body.Close()
	src, err := readContent(out.Body)
	if err != nil {
		return nil, s.wrapError("read", err)
	}
	return &Document{Content: src, tag: aws.ToString(out.ETag)}, nil
}

// Write replaces the object where its ETag is still that of last; where that is nil, there must
// be none. It knows its own write again when the answer to it was lost.
func (s *S3) Write(ctx context.Context, last *Document, content []byte) (*Document, error) {
	in := &s3.PutObjectInput{Bucket: &s.bucket, Key: &s.key, Body: bytes.NewReader(content), ContentType: aws.String("application/yaml")}
	if last == nil {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &last.tag
	}
	out, err := s.client.PutObject(ctx, in)
	if err == nil {
		return &Document{Content: content, tag: aws.ToString(out.ETag)}, nil
	}
	switch awserr.Status(err) {
	case http.StatusPreconditionFailed, http.StatusConflict: // another was put before, or at the same time
		err = fmt.Errorf("%w: %w", ErrConflict, err)
		if found, readErr := s.Read(ctx, nil); readErr == nil && bytes.Equal(found.Content, content) {
			return found, nil
		}
	case http.StatusNotFound: // it has been deleted
		err = fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return nil, s.wrapError("change", err)
}

// History lists the newest 100 versions, the newest first.
func (s *S3) History(ctx context.Context) ([]Version, error) {
	out, err := s.client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &s.bucket, Prefix: &s.key, MaxKeys: aws.Int32(100)})
	if err != nil {
		return nil, s.wrapError("list the versions of", err)
	}
	var all []Version
	for _, v := range out.Versions {
		if aws.ToString(v.Key) == s.key { // and not longer
			all = append(all, Version{
				ID: aws.ToString(v.VersionId), At: aws.ToTime(v.LastModified), Bytes: aws.ToInt64(v.Size), Current: aws.ToBool(v.IsLatest),
			})
		}
	}
	slices.SortStableFunc(all, func(a, b Version) int { return b.At.Compare(a.At) })
	return all, nil
}

// Version returns the content of a version.
func (s *S3) Version(ctx context.Context, id string) ([]byte, error) {
	doc, err := s.get(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &s.key, VersionId: &id})
	if err != nil {
		return nil, fmt.Errorf("version %q: %w", id, err)
	}
	return doc.Content, nil
}

func (s *S3) wrapError(verb string, err error) error {
	switch {
	case awserr.Is(err, "NoSuchKey", "NoSuchVersion", "InvalidArgument") && !errors.Is(err, ErrConflict):
		err = fmt.Errorf("%w: %w", ErrNotFound, err) // an ID of another form is an invalid argument
	case awserr.Is(err, "NoSuchBucket"):
		err = fmt.Errorf("there is no such bucket: %w", err)
	case awserr.Is(err, "AccessDenied"):
		err = fmt.Errorf("allow s3:GetObject and s3:ListBucket, to change it s3:PutObject, "+
			"for its history s3:ListBucketVersions and s3:GetObjectVersion: %w", err)
	}
	return fmt.Errorf("%s %s: %w", verb, s, err)
}
