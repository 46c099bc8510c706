package terraform_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/target"
	"github.com/banyan-fig/banyan/services/social/plans"
)

// entities are the plans of the services, by entity.
var entities = map[string][]byte{"users": plans.Users, "relationships": plans.Relationships, "posts": plans.Posts}

func entityPlan(t *testing.T, entity string) string {
	t.Helper()
	return read(t, filepath.Join("../examples/environment", entity+".yaml"))
}

// TestEntityPlansAreThoseOfTheServices: but for the tables' names.
func TestEntityPlansAreThoseOfTheServices(t *testing.T) {
	for entity, built := range entities {
		text := entityPlan(t, entity)
		if strings.ReplaceAll(text, "${name}-", "") != string(built) {
			t.Errorf("the example's plan of %s is not that of services/social/plans, with ${name}- before each table", entity)
		}
		if strings.Count(text, "able: ${name}-") != strings.Count(text, "able: ") {
			t.Errorf("a table of %s has not the environment's name", entity)
		}
	}
}

// TestPeerMadeTablesOfEntities: they are what banyan-migrate would make.
func TestPeerMadeTablesOfEntities(t *testing.T) {
	cfg, _ := deployed(t)
	client := dynamodb.NewFromConfig(cfg)
	for entity := range entities {
		p, err := plan.Parse(entity, []byte(strings.ReplaceAll(entityPlan(t, entity), "${name}", environment)))
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range p.TableInputs() {
			table := must[*dynamodb.DescribeTableOutput](t)(client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: in.TableName})).Table
			if conflict := target.CompareKeys(table, in); conflict != nil {
				t.Error(conflict)
			}
			for _, conflict := range target.CompareIndexes(table, in) {
				t.Error(conflict)
			}
			want(t, "the indexes of "+*in.TableName, len(table.GlobalSecondaryIndexes), len(in.GlobalSecondaryIndexes))
			want(t, "the stream of "+*in.TableName, images(table.StreamSpecification), images(in.StreamSpecification))
		}
	}
}

// images are those of a stream of changes, "" where there is none.
func images(stream *dynamotypes.StreamSpecification) dynamotypes.StreamViewType {
	if stream == nil || !aws.ToBool(stream.StreamEnabled) {
		return ""
	}
	return stream.StreamViewType
}

// TestRightsOfEntitiesAreThoseOfTheCode: of the store on its tables, and of the outbox.
func TestRightsOfEntitiesAreThoseOfTheCode(t *testing.T) {
	_, block, _ := strings.Cut(sources(t)["../examples/environment/services.tf"], `sid = "Documents"`)
	documents, outbox, found := strings.Cut(block, `sid = "Outbox"`)
	outbox, _, _ = strings.Cut(outbox, "resources")
	if !found {
		t.Fatal("the example has no statements Documents and Outbox")
	}
	for _, c := range []struct{ folder, block, byOthers, unseen string }{
		{folder: "services/entity/dynamodb", block: documents},
		{
			folder: "publishers/outboxtable", block: outbox, unseen: "dynamodb:DescribeTable",
			byOthers: "dynamodb:DeleteItem dynamodb:UpdateTimeToLive", // the relay, and nobody
		},
	} {
		needed, given := sent(t, filepath.Join("../../..", c.folder)), action.FindAllString(c.block, -1)
		for _, a := range missing(needed, given, c.byOthers) {
			t.Errorf("%s needs %s, which its owner is not given", c.folder, a)
		}
		for _, a := range missing(given, needed, c.unseen) {
			t.Errorf("an owner is given %s, which %s has no request for", a, c.folder)
		}
	}
}
