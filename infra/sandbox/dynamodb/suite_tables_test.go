package dynamodb_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func (s *suite) tables(t *testing.T) {
	t.Run("are described as they were made", s.describedTable)
	t.Run("exist once", s.tableTwice)
	t.Run("are gone when deleted", s.deletedTable)
	t.Run("are listed in pages", s.listedTables)
	t.Run("are refused when ill-made", s.badTables)
}

func (s *suite) describedTable(t *testing.T) {
	table := s.table(t, spec{sort: "N", extra: []types.AttributeDefinition{define("g", "S")}, view: types.StreamViewTypeKeysOnly,
		globals: []types.GlobalSecondaryIndex{{IndexName: aws.String("by-g"), KeySchema: schema("g", "sk"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}}}})
	s.put(t, table, item{"pk": str("a"), "sk": num("1")})
	out, err := s.client.DescribeTable(contextOf(t), &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	d := out.Table
	switch {
	case aws.ToString(d.TableName) != table, d.TableStatus != types.TableStatusActive:
		t.Errorf("it is %s, %s", aws.ToString(d.TableName), d.TableStatus)
	case len(d.KeySchema) != 2 || *d.KeySchema[1].AttributeName != "sk":
		t.Errorf("the key schema is %v", d.KeySchema)
	case len(d.GlobalSecondaryIndexes) != 1 || d.GlobalSecondaryIndexes[0].IndexStatus != types.IndexStatusActive:
		t.Errorf("the indexes are %v", d.GlobalSecondaryIndexes)
	case d.BillingModeSummary == nil || d.BillingModeSummary.BillingMode != types.BillingModePayPerRequest:
		t.Errorf("the billing mode is %v", d.BillingModeSummary)
	case aws.ToString(d.LatestStreamArn) == "" || d.StreamSpecification.StreamViewType != types.StreamViewTypeKeysOnly:
		t.Errorf("the stream is %v, %v", d.LatestStreamArn, d.StreamSpecification)
	case aws.ToInt64(d.ItemCount) != 1:
		t.Errorf("the item count is %d", aws.ToInt64(d.ItemCount))
	}
}

func (s *suite) tableTwice(t *testing.T) {
	table := s.table(t, spec{})
	_, err := s.client.CreateTable(contextOf(t), spec{}.input(table))
	wantError(t, err, "ResourceInUseException")
}

func (s *suite) deletedTable(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{})
	if _, err := s.client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
		t.Fatal(err)
	}
	_, err := s.client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table})
	wantError(t, err, "ResourceNotFoundException")
	_, err = s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	wantError(t, err, "ResourceNotFoundException")
	_, err = s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: item{"pk": str("a")}})
	wantError(t, err, "ResourceNotFoundException")
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: item{"pk": str("a")}})
	wantError(t, err, "ResourceNotFoundException")
}

func (s *suite) listedTables(t *testing.T) {
	want := map[string]bool{s.table(t, spec{}): true, s.table(t, spec{}): true, s.table(t, spec{}): true}
	pages := dynamodb.NewListTablesPaginator(s.client, &dynamodb.ListTablesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(contextOf(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.TableNames {
			delete(want, n)
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

func (s *suite) badTables(t *testing.T) {
	for what, spoil := range map[string]func(*dynamodb.CreateTableInput){
		"short name": func(in *dynamodb.CreateTableInput) { in.TableName = aws.String("ab") },
		"odd name":   func(in *dynamodb.CreateTableInput) { in.TableName = aws.String("a b c") },
		"unused attribute": func(in *dynamodb.CreateTableInput) {
			in.AttributeDefinitions = append(in.AttributeDefinitions, define("x", "S"))
		},
		"undefined key":  func(in *dynamodb.CreateTableInput) { in.KeySchema = schema("pk", "other") },
		"unknown type":   func(in *dynamodb.CreateTableInput) { in.AttributeDefinitions[0].AttributeType = "BOOL" },
		"no throughput":  func(in *dynamodb.CreateTableInput) { in.BillingMode = types.BillingModeProvisioned },
		"sort key first": func(in *dynamodb.CreateTableInput) { in.KeySchema[0].KeyType = types.KeyTypeRange },
		"stream without a view": func(in *dynamodb.CreateTableInput) {
			in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true)}
		},
		"INCLUDE without includes": func(in *dynamodb.CreateTableInput) {
			in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{IndexName: aws.String("all"), KeySchema: schema("pk", ""),
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude}}}
		},
	} {
		t.Run(what, func(t *testing.T) {
			in := spec{}.input(name())
			spoil(in)
			_, err := s.client.CreateTable(contextOf(t), in)
			wantError(t, err, validation)
		})
	}
}
