// Package outgoing passes the ids of package correlation on with what clients send:
//
//	outgoing.Add(&cfg)                                   // the aws.Config of all clients
//	http.Client{Transport: outgoing.Transport(nil)}      // requests
//
// What a client of the AWS SDK sends gets them where its service has a place for them:
//
//	SQS, SNS      message attributes, of messages that have room for them (10 at most)
//	EventBridge   the member __context__ of a detail that is an object
//	Lambda        the member custom of the client context, which Lambda passes on
//	              where the caller waits for the answer
//
// The names are those of the HTTP headers in lower case, which DAZN's powertools for Lambda
// read too. Events of package events have their ids within, whatever carries them:
// they are sent unchanged, as are the requests of every other service.
package outgoing

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"

	"github.com/banyan-fig/banyan/events/correlation"
)

// Transport sets the headers of each request to what its context carries. nil:
// http.DefaultTransport.
func Transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return transport{next}
}

type transport struct{ next http.RoundTripper }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	correlation.Inject(r.Context(), r.Header)
	return t.next.RoundTrip(r)
}

// Add makes every client that is made of cfg pass the ids on.
func Add(cfg *aws.Config) {
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("BanyanCorrelation", carry), middleware.Before)
	})
}

func carry(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	if ids := correlation.From(ctx).Attributes(); ids != nil {
		in.Parameters = inject(in.Parameters, ids)
	}
	return next.HandleInitialize(ctx, in)
}

// inject returns a copy of the input of an operation with the ids, or the input itself. It
// knows inputs by their members, so that no program links a service that it does not use.
func inject(parameters any, ids map[string]string) any {
	in := reflect.ValueOf(parameters)
	if in.Kind() != reflect.Pointer || in.IsNil() || in.Elem().Kind() != reflect.Struct {
		return parameters
	}
	out := reflect.New(in.Elem().Type())
	out.Elem().Set(in.Elem())
	if !injectInto(out.Elem(), ids) {
		return parameters
	}
	return out.Interface()
}

// injectInto sets the ids of an input or of its entries, and reports whether it did.
func injectInto(v reflect.Value, ids map[string]string) bool {
	done := setAttributes(v.FieldByName("MessageAttributes"), ids) ||
		setDetail(v.FieldByName("Detail"), ids) || setClientContext(v, ids)
	for _, name := range []string{"Entries", "PublishBatchRequestEntries"} {
		entries := v.FieldByName(name)
		if entries.Kind() != reflect.Slice || entries.Type().Elem().Kind() != reflect.Struct {
			continue
		}
		fresh := reflect.MakeSlice(entries.Type(), entries.Len(), entries.Len())
		reflect.Copy(fresh, entries)
		for i := range fresh.Len() {
			done = injectInto(fresh.Index(i), ids) || done
		}
		entries.Set(fresh)
	}
	return done
}

// maxAttributes is what SQS allows a message.
const maxAttributes = 10

// setAttributes is for map[string]types.MessageAttributeValue of SQS and SNS.
func setAttributes(attributes reflect.Value, ids map[string]string) bool {
	if attributes.Kind() != reflect.Map || attributes.Type().Elem().Kind() != reflect.Struct {
		return false
	}
	value := attributes.Type().Elem()
	if _, ok := value.FieldByName("StringValue"); !ok || attributes.Len()+len(ids) > maxAttributes {
		return false
	}
	all := reflect.MakeMap(attributes.Type())
	for name, id := range ids {
		a := reflect.New(value).Elem()
		a.FieldByName("DataType").Set(reflect.ValueOf(aws.String("String")))
		a.FieldByName("StringValue").Set(reflect.ValueOf(&id))
		all.SetMapIndex(reflect.ValueOf(name), a)
	}
	for _, name := range attributes.MapKeys() { // the sender's own stay
		all.SetMapIndex(name, attributes.MapIndex(name))
	}
	attributes.Set(all)
	return true
}

// setDetail is for the entries of EventBridge.
func setDetail(detail reflect.Value, ids map[string]string) bool {
	if !detail.IsValid() || detail.Type() != reflect.TypeFor[*string]() || detail.IsNil() {
		return false
	}
	var members map[string]json.RawMessage
	text := []byte(detail.Elem().String())
	if json.Unmarshal(text, &members) != nil || members == nil || members["specversion"] != nil || members["__context__"] != nil {
		return false
	}
	inner, err := json.Marshal(ids)
	if err != nil {
		return false
	}
	text = bytes.TrimRight(text, " \t\r\n")
	text = append(append(text[:len(text)-1:len(text)-1], separator(members)+`"__context__":`...), inner...)
	detail.Set(reflect.ValueOf(aws.String(string(append(text, '}')))))
	return true
}

func separator(members map[string]json.RawMessage) string {
	if len(members) == 0 {
		return ""
	}
	return ","
}

// setClientContext is for lambda.InvokeInput, whose client context is an object in base64.
func setClientContext(v reflect.Value, ids map[string]string) bool {
	field := v.FieldByName("ClientContext")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*string]() || !v.FieldByName("InvocationType").IsValid() || !field.IsNil() {
		return false
	}
	text, err := json.Marshal(map[string]any{"custom": ids})
	if err != nil {
		return false
	}
	field.Set(reflect.ValueOf(aws.String(base64.StdEncoding.EncodeToString(text))))
	return true
}
