package source

import "go.mongodb.org/mongo-driver/v2/bson"

// The bounds of ranges are identifiers, packed: the BSON type, then the value.

func packID(id bson.RawValue) []byte {
	if id.IsZero() {
		return nil
	}
	return append([]byte{byte(id.Type)}, id.Value...)
}

func unpackID(b []byte) bson.RawValue {
	if len(b) == 0 {
		return bson.RawValue{}
	}
	return bson.RawValue{Type: bson.Type(b[0]), Value: b[1:]}
}
