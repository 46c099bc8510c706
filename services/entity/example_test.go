package entity_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/dynamodb"
	"github.com/banyan-fig/banyan/services/entity/mongodb"
)

// The plan says what the migration moves, and what the store keeps.
const loansPlan = `
entity: loans
source: {collection: loans}
target: {table: loans, key: {type: string}}
unique: [{field: copy, table: loans-copies}]
indexes: [{name: by-reader, key: [reader, due]}]
fields:
  - {from: copy, type: string}
  - {from: reader, type: string}
  - {from: due, type: date}
versionField: version
`

// Loan is a copy of a book that a reader has taken home.
type Loan struct {
	ID      string    `bson:"_id"`
	Copy    string    `bson:"copy"`
	Reader  string    `bson:"reader"`
	Due     time.Time `bson:"due"`
	Renewed int       `bson:"renewed,omitempty"`
}

// A library's loans. Which database has them is the ownership record's, and no concern of the
// library; package backbone does the wiring of openLoans for a service.
func Example() {
	ctx := context.Background()
	store, closeAll, err := openLoans(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closeAll()
	loans := entity.Of[Loan](store)
	due := time.Date(2030, 1, 15, 0, 0, 0, 0, time.UTC)

	for _, l := range []Loan{{ID: "1", Copy: "emma-2", Reader: "ada", Due: due.AddDate(0, 0, 3)}, {ID: "2", Copy: "dune-1", Reader: "ada", Due: due}} {
		if _, err := loans.Create(ctx, l); err != nil {
			fmt.Println(err)
			return
		}
	}
	_, err = loans.Create(ctx, Loan{ID: "3", Copy: "emma-2", Reader: "bob", Due: due})
	fmt.Println("of a copy that is lent:", errors.Is(err, entity.ErrTaken))

	renewed, err := loans.Update(ctx, "2", func(l *Loan) error {
		if l.Renewed++; l.Renewed > 2 {
			return errors.New("renewed twice already")
		}
		l.Due = l.Due.AddDate(0, 0, 14)
		return nil
	})
	fmt.Println("renewed:", renewed.Value.Due.Format(time.DateOnly), "version", renewed.Version, err)

	lent, err := loans.ByUnique(ctx, bson.D{{Key: "copy", Value: "emma-2"}})
	fmt.Println("emma-2 is with", lent.Value.Reader, err)

	page, _, err := loans.Query(ctx, entity.Query{Index: "by-reader", Equal: "ada"})
	for _, l := range page {
		fmt.Println("due", l.Value.Due.Format(time.DateOnly), l.Value.Copy)
	}
	if err == nil {
		_, err = loans.Delete(ctx, "1")
	}
	fmt.Println(err)
	// Output:
	// of a copy that is lent: true
	// renewed: 2030-01-29 version 2 <nil>
	// emma-2 is with ada <nil>
	// due 2030-01-18 emma-2
	// due 2030-01-29 dune-1
	// <nil>
}

func openLoans(ctx context.Context) (store *entity.Store, closeAll func(), err error) {
	server, err := mongodbserver.Start(mongodbserver.Config{}) // a MongoDB
	if err != nil {
		return nil, nil, err
	}
	aws := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{})) // a DynamoDB
	tables := awsdynamodb.New(awsdynamodb.Options{Region: "us-east-1", BaseEndpoint: &aws.URL, HTTPClient: aws.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	p, err := plan.Parse("loans.yaml", []byte(loansPlan))
	if err != nil {
		return nil, nil, err
	}
	db, err := mongoclient.Open(ctx, "mongodb://"+server.Addr()+"/library?directConnection=true")
	if err != nil {
		return nil, nil, err
	}
	control := ownership.NewTable(tables, "")
	if err := control.Ensure(ctx); err != nil {
		return nil, nil, err
	}
	member, err := ownership.Join(ctx, ownership.MemberConfig{Table: control, Entity: p.Entity, Probe: owned.New(db, p.Source.Collection).Probe})
	if err != nil {
		return nil, nil, err
	}
	documents := mongodb.New(db, p, member)
	err = member.Write(ctx, func(ctx context.Context, g ownership.Grant) error { return documents.Prepare(ctx, g, true) })
	if err != nil {
		return nil, nil, err
	}
	store, err = entity.New(entity.Config{Plan: p, Member: member, MongoDB: documents, DynamoDB: dynamodb.New(tables, p)})
	return store, func() {
		store.Close()
		_ = member.Leave(ctx)
		_ = db.Close(ctx)
		aws.Close()
		_ = server.Close()
	}, err
}
