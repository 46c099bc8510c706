package outbox_test

import (
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/publishers/outbox"
)

// BenchmarkRelay relays events of a thousand documents, whose change stream is
// there already, from the sandbox's MongoDB to its Kinesis: an operation is one
// event read, published, taken out of its document, and its position stored.
func BenchmarkRelay(b *testing.B) {
	for _, docs := range []int{1, 1000} {
		b.Run(fmt.Sprintf("%d documents", docs), func(b *testing.B) {
			w := newWorld(b)
			_, stop := w.relay()
			w.stop(stop)
			var models []mongo.WriteModel
			for n := range b.N {
				key := fmt.Sprintf("doc%d", n%docs)
				update, err := outbox.Push(nil, event(key, n/docs))
				w.must(err)
				models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: key}}).SetUpdate(update).SetUpsert(true))
			}
			_, err := w.users.BulkWrite(w.ctx, models)
			w.must(err)
			b.ResetTimer()
			_, stop = w.relay()
			w.awaitEmpty()
			w.stop(stop)
		})
	}
}
