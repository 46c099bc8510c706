package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/banyan-fig/banyan/infra/awserr"
)

// S3 keeps objects in a bucket. Writing needs s3:PutObject, reading s3:GetObject and
// s3:ListBucket.
type S3 struct {
	client         *s3.Client
	bucket, prefix string
}

// NewS3 keeps objects under prefix, which may be empty.
func NewS3(client *s3.Client, bucket, prefix string) *S3 {
	if prefix != "" {
		prefix += "/"
	}
	return &S3{client, bucket, prefix}
}

// String returns s3://bucket/prefix.
func (s *S3) String() string { return "s3://" + s.bucket + "/" + strings.TrimSuffix(s.prefix, "/") }

// Put writes an object. S3 compares its SHA-256 with what arrived.
func (s *S3) Put(ctx context.Context, name string, data []byte) error {
	sum := sha256.Sum256(data)
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: aws.String(s.prefix + name), Body: bytes.NewReader(data),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])), ContentType: aws.String("application/octet-stream"),
	})
	return s.wrapError("write", name, err)
}

// Get reads an object.
func (s *S3) Get(ctx context.Context, name string) ([]byte, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: aws.String(s.prefix + name)})
	if err != nil {
		return nil, s.wrapError("read", name, err)
	}
	defer func() { _ = out.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(out.Body, maxObject+1))
	if err == nil && len(data) > maxObject {
		err = errTooLarge
	}
	return data, s.wrapError("read", name, err)
}

var errTooLarge = fmt.Errorf("it has more than %d bytes", maxObject)

// List lists objects, 1,000 a request.
func (s *S3) List(ctx context.Context, folder, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: aws.String(s.prefix + folder)}
		if after != "" {
			in.StartAfter = aws.String(s.prefix + after)
		}
		pages := s3.NewListObjectsV2Paginator(s.client, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield("", s.wrapError("list", folder, err))
				return
			}
			for _, o := range page.Contents {
				name := strings.TrimPrefix(aws.ToString(o.Key), s.prefix)
				if name > after && !yield(name, nil) {
					return
				}
			}
		}
	}
}

// Folders lists folders.
func (s *S3) Folders(ctx context.Context, folder string) ([]string, error) {
	prefix := s.prefix + folder
	var names []string
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, Delimiter: aws.String("/")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.wrapError("list", folder, err)
		}
		for _, p := range page.CommonPrefixes {
			names = append(names, strings.TrimPrefix(aws.ToString(p.Prefix), prefix))
		}
	}
	return names, nil
}

func (s *S3) wrapError(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	_, isMissing := errors.AsType[*types.NoSuchKey](err)
	switch {
	case isMissing:
		err = ErrNotFound
	case awserr.Is(err, "AccessDenied"):
		err = fmt.Errorf("allow s3:PutObject to the function, s3:GetObject and s3:ListBucket to whoever reads: %w", err)
	case awserr.Is(err, "NoSuchBucket"):
		err = fmt.Errorf("create the bucket, or correct the address: %w", err)
	}
	return fmt.Errorf("%s %s in %v: %w", verb, name, s, err)
}
