package dynamodb

import (
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

type attributeDefinition struct{ AttributeName, AttributeType string }

type keyElement struct{ AttributeName, KeyType string }

type keySchema []keyElement

type throughput struct{ ReadCapacityUnits, WriteCapacityUnits int64 }

type projection struct {
	ProjectionType   string
	NonKeyAttributes []string `json:",omitempty"`
}

type indexInput struct {
	IndexName             string
	KeySchema             keySchema
	Projection            projection
	ProvisionedThroughput *throughput
}

type streamSpecification struct {
	StreamEnabled  bool
	StreamViewType string `json:",omitempty"`
}

type createTableInput struct {
	TableName              string
	AttributeDefinitions   []attributeDefinition
	KeySchema              keySchema
	BillingMode            string
	ProvisionedThroughput  *throughput
	GlobalSecondaryIndexes []indexInput
	StreamSpecification    *streamSpecification
}

// maxGlobalIndexes is the service's quota.
const maxGlobalIndexes = 20

// keys reads a key schema that has been checked.
func (ks keySchema) keys(attributes []attributeDefinition) keys {
	kind := func(name string) attribute.Kind {
		for _, a := range attributes {
			if a.AttributeName == name {
				return attribute.KindOf(a.AttributeType)
			}
		}
		return attribute.Invalid
	}
	k := keys{hash: ks[0].AttributeName, hashKind: kind(ks[0].AttributeName)}
	if len(ks) > 1 {
		k.sort, k.sortKind = ks[1].AttributeName, kind(ks[1].AttributeName)
	}
	return k
}

func checkTableName(member, name string) error {
	const most = 1024 // an ARN may stand in for a name
	if name == "" {
		return invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
	}
	if len(name) > most {
		return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must have length less than or equal to %d",
			name, member, most)
	}
	return nil
}

// checkNewName checks the name of a table or index that is about to be made.
func checkNewName(member, name string) error {
	if len(name) < 3 || len(name) > 255 {
		return invalid("%s must be at least 3 characters long and at most 255 characters long", member)
	}
	bad := strings.IndexFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.')
	})
	if bad >= 0 {
		return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression "+
			"pattern: [a-zA-Z0-9_.-]+", name, member)
	}
	return nil
}

func (in *createTableInput) check() error {
	if err := checkNewName("TableName", in.TableName); err != nil {
		return err
	}
	for _, a := range in.AttributeDefinitions {
		if kind := attribute.KindOf(a.AttributeType); !kind.IsScalar() {
			return invalid("1 validation error detected: Value '%s' at 'attributeDefinitions.1.member.attributeType' failed to satisfy "+
				"constraint: Member must satisfy enum value set: [B, N, S]", a.AttributeType)
		}
	}
	if err := in.checkBilling(); err != nil {
		return err
	}
	if err := in.KeySchema.check(in.AttributeDefinitions); err != nil {
		return err
	}
	if err := in.checkIndexes(); err != nil {
		return err
	}
	if err := in.checkUnused(); err != nil {
		return err
	}
	return in.StreamSpecification.check()
}

func (in *createTableInput) checkBilling() error {
	if err := oneOf("billingMode", in.BillingMode, "PROVISIONED", "PAY_PER_REQUEST"); err != nil {
		return err
	}
	if in.BillingMode == "PAY_PER_REQUEST" {
		if in.ProvisionedThroughput != nil {
			return parameter("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
		}
		return nil
	}
	if in.ProvisionedThroughput == nil {
		return parameter("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	return nil
}

func (ks keySchema) check(attributes []attributeDefinition) error {
	switch {
	case len(ks) == 0 || len(ks) > 2:
		return invalid("1 validation error detected: Value at 'keySchema' failed to satisfy constraint: Member must have length between 1 and 2")
	case ks[0].KeyType != "HASH":
		return invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
	case len(ks) == 2 && ks[1].KeyType != "RANGE":
		return invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
	case len(ks) == 2 && ks[0].AttributeName == ks[1].AttributeName:
		return invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
	}
	for _, k := range ks {
		if !slices.ContainsFunc(attributes, func(a attributeDefinition) bool { return a.AttributeName == k.AttributeName }) {
			return parameter("Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: [%s]",
				ks.list(), listNames(attributes))
		}
	}
	return nil
}

func (ks keySchema) list() string {
	names := make([]string, len(ks))
	for i, k := range ks {
		names[i] = k.AttributeName
	}
	return strings.Join(names, ", ")
}

func listNames(attributes []attributeDefinition) string {
	names := make([]string, len(attributes))
	for i, a := range attributes {
		names[i] = a.AttributeName
	}
	return strings.Join(names, ", ")
}

func (in *createTableInput) checkIndexes() error {
	seen := map[string]bool{}
	for _, ix := range in.GlobalSecondaryIndexes {
		if err := ix.check(in.AttributeDefinitions); err != nil {
			return err
		}
		if seen[ix.IndexName] {
			return parameter("Duplicate index name: %s", ix.IndexName)
		}
		seen[ix.IndexName] = true
	}
	if len(in.GlobalSecondaryIndexes) > maxGlobalIndexes {
		return parameter("GlobalSecondaryIndex count exceeds the per-table limit of %d", maxGlobalIndexes)
	}
	return nil
}

func (ix *indexInput) check(attributes []attributeDefinition) error {
	if err := checkNewName("IndexName", ix.IndexName); err != nil {
		return err
	}
	if err := ix.KeySchema.check(attributes); err != nil {
		return err
	}
	return ix.Projection.check()
}

func (p *projection) check() error {
	switch p.ProjectionType {
	case "ALL", "KEYS_ONLY":
		if len(p.NonKeyAttributes) > 0 {
			return parameter("ProjectionType is %s, but NonKeyAttributes is specified", p.ProjectionType)
		}
	case "INCLUDE":
		if len(p.NonKeyAttributes) == 0 {
			return parameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
		}
	case "":
		return parameter("Unknown ProjectionType: null")
	default:
		return oneOf("projection.projectionType", p.ProjectionType, "ALL", "INCLUDE", "KEYS_ONLY")
	}
	return nil
}

func (in *createTableInput) checkUnused() error {
	used := map[string]bool{}
	for _, k := range in.KeySchema {
		used[k.AttributeName] = true
	}
	for _, ix := range in.GlobalSecondaryIndexes {
		for _, k := range ix.KeySchema {
			used[k.AttributeName] = true
		}
	}
	for _, a := range in.AttributeDefinitions {
		if !used[a.AttributeName] {
			return parameter("Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
		}
	}
	return nil
}

func (s *streamSpecification) on() bool { return s != nil && s.StreamEnabled }

func (s *streamSpecification) check() error {
	switch {
	case s.on() && s.StreamViewType == "":
		return parameter("StreamViewType is required when StreamEnabled is true")
	case s.on():
		return oneOf("streamSpecification.streamViewType", s.StreamViewType, "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")
	case s != nil && s.StreamViewType != "":
		return parameter("StreamViewType must not be specified when StreamEnabled is false")
	}
	return nil
}
