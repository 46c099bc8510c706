package opensearch

import (
	"encoding/json"
	"fmt"
)

// Template is the index template of log documents. Nothing that an application
// logs adds a field to the mapping: what has a field is listed here, all else is
// inside "fields", which is one field to the index.
func Template(prefix string) []byte {
	keyword := map[string]any{"type": "keyword", "ignore_above": 8191}
	double := map[string]any{"type": "double"}
	properties := map[string]any{
		"@timestamp": map[string]any{"type": "date"},
		"message":    map[string]any{"type": "text"},
		"msg":        map[string]any{"type": "text"},
		"truncated":  map[string]any{"type": "boolean"},
		"stripped":   keyword,
		"fields":     map[string]any{"type": "flat_object"},
		"log":        map[string]any{"properties": all(keyword, "id", "group", "stream", "offset")},
		"platform":   map[string]any{"properties": all(keyword, "kind", "version", "status", "error_type")},
	}
	platform := properties["platform"].(map[string]any)["properties"].(map[string]any)
	for _, name := range []string{"duration_ms", "billed_ms", "init_ms", "restore_ms", "memory_mb", "max_memory_mb"} {
		platform[name] = double
	}
	for name, kind := range all(keyword, "account", "function", "level", "error", "request_id", "trace_id",
		"traceparent", "correlation_id", "causation_id", "event_id", "event_type") {
		properties[name] = kind
	}
	text, err := json.Marshal(map[string]any{
		"index_patterns": []string{prefix + "-*"},
		"priority":       200,
		"template":       map[string]any{"mappings": map[string]any{"dynamic": false, "properties": properties}},
	})
	if err != nil {
		panic(fmt.Sprintf("opensearch: encode the index template: %v", err)) // maps of texts and numbers always can be
	}
	return text
}

func all(kind any, names ...string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		out[name] = kind
	}
	return out
}
