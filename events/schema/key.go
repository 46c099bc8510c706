package schema

import (
	"encoding/json"
	"reflect"

	"github.com/banyan-fig/banyan/events"
)

// keyMember finds the member that is the partition key by changing one after the
// other in the example: the key follows its member. "" when it follows none.
func keyMember(t events.Type) string {
	data, err := json.Marshal(t.Example)
	if err != nil {
		return ""
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return ""
	}
	found := ""
	for name, original := range members {
		for _, probe := range []string{"90210733", `"90210733"`} {
			members[name] = json.RawMessage(probe)
			if keyOf(t, members) == "90210733" && (found == "" || name < found) {
				found = name
			}
		}
		members[name] = original
	}
	return found
}

func keyOf(t events.Type, members map[string]json.RawMessage) (key string) {
	defer func() { _ = recover() }() // of a payload that panics on the probe
	data, err := json.Marshal(members)
	if err != nil {
		return ""
	}
	p := reflect.New(t.GoType())
	if json.Unmarshal(data, p.Interface()) != nil {
		return ""
	}
	return p.Elem().Interface().(events.Payload).PartitionKey()
}
