package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
)

// object is a JSON object.
type object = map[string]any

// OpenAPI describes the gateway of a plan, in the version 3.0, which generators know best. It
// is to be written as JSON.
func OpenAPI(p *plan.Plan) map[string]any {
	d := describer{p, "/v1/" + p.Entity}
	return object{
		"openapi": "3.0.3",
		"info": object{"title": p.Entity, "version": "1",
			"description": "The entity " + p.Entity + ", whichever database owns it. A write under an Idempotency-Key can be repeated for 24 hours."},
		"paths": d.paths(),
		"components": object{
			"schemas":         d.schemas(),
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
		},
		"security": []any{object{}, object{"token": []any{}}},
	}
}

type describer struct {
	*plan.Plan
	path string
}

func (d describer) paths() object {
	found := responses("The document", ref("Document"), 200)
	found["304"] = object{"description": "The document is as the client knows it"}
	one := object{
		"parameters": []any{parameter("path", "id", "The _id, as the key of its item has it", object{"type": "string"})},
		"get": operation("get", "One document", nil, found,
			parameter("header", "If-None-Match", "The ETag that is known: the answer is 304 where it is still that", object{"type": "string"})),
		"put": operation("put", "Make or replace a document", body("document", "application/json"),
			responses("The document as it is stored", ref("Document"), 200, 201), ifMatch(), key(),
			parameter("header", "If-None-Match", "*, to make a new one only", object{"type": "string", "enum": []any{"*"}})),
		"patch": operation("patch", "Change fields: JSON Merge Patch (RFC 7396)", body("patch", "application/merge-patch+json"),
			responses("The document as it is stored", ref("Document"), 200), ifMatch(), key()),
		"delete": operation("delete", "Delete a document", nil, responses("It is deleted", nil, 204), ifMatch(), key()),
	}
	all := object{
		"post": operation("create", "Make a document", body("document", "application/json"),
			responses("The document as it is stored", ref("Document"), 200, 201), key()),
		"get": operation("list", "Several documents by their ids, or all, page by page", nil, responses("Documents", ref("Page"), 200),
			append(paging(), parameter("query", "ids", "Ids, with commas between", object{"type": "string"}),
				parameter("query", "id", "An id, again and again", object{"type": "array", "items": object{"type": "string"}}))...),
	}
	paths := object{d.path: all, d.path + "/{id}": one}
	for i := range d.Unique {
		u := &d.Unique[i]
		var fields []any
		for _, name := range u.Names() {
			fields = append(fields, required(parameter("query", name, "The value of "+name, object{"type": "string"})))
		}
		paths[d.path+"/by/"+u.Name()] = object{"get": operation(fmt.Sprintf("byUnique%d", i+1), "The document with unique values", nil,
			responses("The document", ref("Document"), 200), fields...)}
	}
	for i, x := range d.Indexes {
		bounds := append(paging(), required(parameter("query", "equal", "The value of "+x.Key[0], object{"type": "string"})))
		if len(x.Key) > 1 {
			bounds = append(bounds, parameter("query", "from", "The least value of "+x.Key[1], object{"type": "string"}),
				parameter("query", "below", "The value that those of "+x.Key[1]+" must be less than", object{"type": "string"}),
				parameter("query", "descending", "The largest first", object{"type": "boolean"}))
		}
		paths[d.path+"/index/"+x.Name] = object{"get": operation(fmt.Sprintf("byIndex%d", i+1), "Documents by the index "+x.Name, nil,
			responses("Documents", ref("Page"), 200), bounds...)}
	}
	return paths
}

func (d describer) schemas() object {
	fields := object{"_id": typed(d.Target.Key.Type)}
	for _, f := range d.Fields {
		if f.From != d.VersionField && !slices.Contains(d.Outbox.Fields(), f.From) {
			fields[f.From] = typed(f.Type)
		}
	}
	write := func(part string) object {
		return object{"type": "object", "required": []any{part}, "properties": object{part: ref("Document"),
			"events": object{"type": "array", "maxItems": MaxEvents, "items": ref("Event")}}}
	}
	text := object{"type": "string"}
	return object{
		"Value": object{"nullable": true, "description": "Any value: JSON, or MongoDB Extended JSON for what JSON has no type for"},
		"Other": object{"nullable": true, "description": "A value of another type than the declared one: Extended JSON",
			"anyOf": []any{object{"type": "object"}, object{"type": "array", "items": object{}}, object{"type": "boolean"}}},
		"Document":      object{"type": "object", "properties": fields, "additionalProperties": ref("Value")},
		"WriteDocument": write("document"),
		"WritePatch":    write("patch"),
		"Event": object{"type": "object", "required": []any{"type"}, "properties": object{"type": text, "subject": text, "partitionkey": text,
			"dataversion": object{"type": "integer", "description": "1 where there is none"}, "data": ref("Value")}},
		"Item": object{"type": "object", "required": []any{"id", "etag", "document"}, "properties": object{"id": text, "etag": text, "document": ref("Document")}},
		"Page": object{"type": "object", "required": []any{"items"}, "properties": object{"items": object{"type": "array", "items": ref("Item")},
			"nextCursor": object{"type": "string", "description": "Where to go on; there is none on the last page"}}},
		"Problem": object{"type": "object", "required": []any{"type", "title", "status"}, "properties": object{"type": text, "title": text,
			"status": object{"type": "integer"}, "detail": text, "field": text}},
	}
}

var plainSchemas = map[string]object{
	codec.TypeString:   {"type": "string"},
	codec.TypeObjectID: {"type": "string", "pattern": "^[0-9a-f]{24}$"},
	codec.TypeDate:     {"type": "string", "format": "date-time"},
	codec.TypeUUID:     {"type": "string", "format": "uuid"},
	codec.TypeDecimal:  {"type": "string"},
	codec.TypeBinary:   {"type": "string", "format": "byte"},
	codec.TypeInt32:    {"type": "integer", "format": "int32"},
	codec.TypeInt64:    {"type": "integer", "format": "int64"},
	codec.TypeDouble:   {"type": "number", "format": "double"},
	codec.TypeBool:     {"type": "boolean"},
	codec.TypeDocument: {"type": "object"},
	codec.TypeArray:    {"type": "array", "items": object{}},
}

// typed is the schema of a value of a declared type, or of another in Extended JSON.
func typed(kind string) object {
	plain, ok := plainSchemas[kind]
	if !ok {
		return ref("Value")
	}
	return object{"description": "Of type " + kind + ", or another", "anyOf": []any{plain, ref("Other")}}
}

func ref(schema string) object { return object{"$ref": "#/components/schemas/" + schema} }

func parameter(in, name, description string, schema object) object {
	return object{"in": in, "name": name, "description": description, "required": in == "path", "schema": schema}
}

func required(parameter object) object {
	parameter["required"] = true
	return parameter
}

func ifMatch() object {
	return parameter("header", "If-Match", "The ETag that the document must have", object{"type": "string"})
}

func key() object {
	return parameter("header", "Idempotency-Key", "The same for each repetition of the request", object{"type": "string", "maxLength": 255})
}

func paging() []any {
	return []any{parameter("query", "limit", "How many at most", object{"type": "integer", "minimum": 1, "maximum": entity.MaxMany, "default": 50}),
		parameter("query", "cursor", "The nextCursor of the page before", object{"type": "string"})}
}

func body(part, kind string) object {
	write := map[string]string{"document": "WriteDocument", "patch": "WritePatch"}[part]
	return object{"required": true, "content": object{kind: object{"schema": ref("Document")}, typeWrite: object{"schema": ref(write)}}}
}

func operation(id, summary string, requestBody, responses object, parameters ...any) object {
	out := object{"operationId": id, "summary": summary, "responses": responses, "parameters": parameters}
	if requestBody != nil {
		out["requestBody"] = requestBody
	}
	return out
}

// responses are those of some statuses with one schema, and problems.
func responses(description string, schema object, statuses ...int) object {
	header := func(of string) object { return object{"description": of, "schema": object{"type": "string"}} }
	good := object{"description": description, "headers": object{"ETag": header("The version"), events.HeaderWritten: header("Where the write's last event is"),
		"Idempotency-Replayed": header("true where the request was answered before")}}
	if schema != nil {
		good["content"] = object{"application/json": object{"schema": schema}}
	}
	out := object{"default": object{"description": "A problem (RFC 9457)",
		"headers": object{"Retry-After": header("In how many seconds to send it again, under the same Idempotency-Key")},
		"content": object{"application/problem+json": object{"schema": ref("Problem")}}}}
	for _, status := range statuses {
		one := maps.Clone(good)
		one["description"] = fmt.Sprintf("%s (%s)", description, http.StatusText(status))
		out[strconv.Itoa(status)] = one
	}
	return out
}
