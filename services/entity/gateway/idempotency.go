package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/services/entity"
)

// RequestsField is the field of a document that has the Idempotency-Keys of its last writes.
const RequestsField = "_requests"

// Bounds of RequestsField.
const (
	KeysLast = 24 * time.Hour
	MaxKeys  = 16
)

// answered is a request that was answered, as it is kept in the document.
type answered struct {
	Key     []byte    `bson:"k"` // its hash
	Request []byte    `bson:"r"` // the hash of all that it said
	Version int64     `bson:"v"` // that it made
	Status  int32     `bson:"s"`
	At      time.Time `bson:"t"`
}

// answers are those of a document.
type answers struct {
	List []answered `bson:"_requests"`
}

// requestKey is the Idempotency-Key of a request.
type requestKey struct {
	hash, request [sha256.Size]byte
	at            time.Time // so that each attempt makes the same document
}

// readKey reads the header, of which there is none in most requests.
func readKey(r *http.Request, body []byte) (*requestKey, error) {
	header := r.Header.Values("Idempotency-Key")
	if len(header) == 0 {
		return nil, nil
	}
	if text := header[0]; len(header) > 1 || text == "" || len(text) > 255 {
		return nil, fmt.Errorf("%w: Idempotency-Key must be 1 to 255 characters", entity.ErrInvalid)
	}
	k := &requestKey{hash: sha256.Sum256([]byte(header[0])), at: time.Now().UTC()}
	request := sha256.New()
	for _, part := range []string{r.Method, r.URL.EscapedPath(), r.Header.Get("If-Match"), r.Header.Get("If-None-Match"), r.Header.Get("Content-Type")} {
		fmt.Fprintf(request, "%q ", part)
	}
	request.Write(body)
	request.Sum(k.request[:0])
	return k, nil
}

// find is what the same request was answered, nil for nothing. errKeyReused.
func (k *requestKey) find(doc bson.Raw) (*answered, error) {
	if k == nil {
		return nil, nil
	}
	kept, err := k.kept(doc)
	if err != nil {
		return nil, err
	}
	for _, a := range kept {
		switch {
		case string(a.Key) != string(k.hash[:16]):
		case string(a.Request) != string(k.request[:16]):
			return nil, fmt.Errorf("%w, and made the version %d", errKeyReused, a.Version)
		default:
			return &a, nil
		}
	}
	return nil, nil
}

// kept are the requests that count.
func (k *requestKey) kept(doc bson.Raw) ([]answered, error) {
	var all answers
	if _, err := doc.LookupErr(RequestsField); err != nil {
		return nil, nil
	}
	if err := bson.Unmarshal(doc, &all); err != nil {
		return nil, fmt.Errorf("the document's field %s is not the gateway's: %w", RequestsField, err)
	}
	return slices.DeleteFunc(all.List, func(a answered) bool { return k.at.Sub(a.At) > KeysLast }), nil
}

// mark adds the request to a document that is stored as its effect.
func (k *requestKey) mark(doc bson.Raw, version int64, status int) (bson.Raw, error) {
	kept, err := k.kept(doc)
	if err != nil {
		return nil, err
	}
	kept = append(kept, answered{Key: k.hash[:16], Request: k.request[:16], Version: version, Status: int32(status), At: k.at})
	marked, err := bson.Marshal(answers{kept[max(0, len(kept)-MaxKeys):]})
	if err != nil {
		return nil, err
	}
	fields, err := doc.Elements()
	if err != nil {
		return nil, err
	}
	fields = slices.DeleteFunc(fields, func(e bson.RawElement) bool { return e.Key() == RequestsField })
	return entity.Join(append(fields, entity.Element(RequestsField, bson.Raw(marked).Lookup(RequestsField)))...), nil
}

// derive makes an id that is the same each time.
func (k *requestKey) derive(of ...any) uuid.UUID {
	return uuid.NewHash(sha256.New(), uuid.UUID(k.hash[:16]), fmt.Appendf(nil, "%#v", of), 8)
}

// newID makes an _id: from the key, if there is one, so that the repeated request has the same.
func (g *gateway) newID(k *requestKey) (bson.RawValue, error) {
	id := uuid.New()
	oid := bson.NewObjectID()
	if k != nil {
		id = k.derive(g.path)
		copy(oid[:], id[:4])
		copy(oid[4:], id[8:])
	}
	var v any
	switch g.plan.Target.Key.Type {
	case codec.TypeObjectID:
		v = oid
	case codec.TypeUUID:
		v = bson.Binary{Subtype: bson.TypeBinaryUUID, Data: id[:]}
	case codec.TypeString:
		v = hex.EncodeToString(id[:])
	default:
		return bson.RawValue{}, fmt.Errorf("%w: the document must have an _id, which is no objectId, uuid or string here", entity.ErrInvalid)
	}
	kind, value, err := bson.MarshalValue(v)
	return bson.RawValue{Type: kind, Value: value}, err
}
