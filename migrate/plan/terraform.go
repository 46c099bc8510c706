package plan

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// tableModule is the module that makes a table, with its alarms and recovery.
const tableModule = "git::https://github.com/banyan-fig/banyan.git//infra/terraform/modules/table"

// warmByDefault is how many write units a new table on demand takes at once ("Understanding
// DynamoDB warm throughput").
const warmByDefault = 4000

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// Terraform writes the plan's tables as Terraform, for a table that is made before the
// copy: keys, indexes, stream, recovery and alarms, and, where budgets.writeRate is above what
// a new table takes, warm throughput for the copy.
func (p *Plan) Terraform() string {
	var out strings.Builder
	fmt.Fprintf(&out, "# The tables of the entity %s. Made by banyan-migrate plan --terraform; name a commit in source.\n"+
		"variable \"alarm_topic_arns\" {\n  description = \"SNS topics that the tables' alarms tell.\"\n"+
		"  type        = list(string)\n  default     = []\n}\n", p.Entity)
	for _, in := range p.TableInputs() {
		out.WriteString("\n" + p.terraformTable(in))
	}
	return out.String()
}

func (p *Plan) terraformTable(in *dynamodb.CreateTableInput) string {
	kinds := map[string]types.ScalarAttributeType{}
	for _, a := range in.AttributeDefinitions {
		kinds[*a.AttributeName] = a.AttributeType
	}
	key := func(k types.KeySchemaElement) string {
		return fmt.Sprintf("{ name = %s, type = %q }", quoteHCL(*k.AttributeName), kinds[*k.AttributeName])
	}
	settings := [][2]string{{"source", strconv.Quote(tableModule)}, {"name", quoteHCL(*in.TableName)}, {"hash_key", key(in.KeySchema[0])}}
	if len(in.KeySchema) > 1 {
		settings = append(settings, [2]string{"range_key", key(in.KeySchema[1])})
	}
	if in.StreamSpecification != nil {
		settings = append(settings, [2]string{"stream_view_type", fmt.Sprintf("%q", in.StreamSpecification.StreamViewType)})
	}
	if p.Budgets.WriteRate > warmByDefault {
		settings = append(settings, [2]string{"warm_throughput", fmt.Sprintf("{ write = %d }", p.Budgets.WriteRate)})
	}
	settings = append(settings, [2]string{"alarm_topic_arns", "var.alarm_topic_arns"})
	var out strings.Builder
	fmt.Fprintf(&out, "module \"table_%s\" {\n", notInNames.ReplaceAllString(*in.TableName, "_"))
	writeAligned(&out, "  ", settings)
	if p.TTL != nil && *in.TableName == p.Target.Table {
		fmt.Fprintf(&out, "  # Once banyan-migrate complete has run, not before: ttl_attribute = %s\n", quoteHCL(p.TTL.Attribute))
	}
	if len(in.GlobalSecondaryIndexes) > 0 {
		out.WriteString("\n  indexes = {\n")
		for _, x := range in.GlobalSecondaryIndexes {
			fmt.Fprintf(&out, "    %s = {\n", quoteHCL(*x.IndexName))
			rows := [][2]string{{"hash_key", key(x.KeySchema[0])}}
			if len(x.KeySchema) > 1 {
				rows = append(rows, [2]string{"range_key", key(x.KeySchema[1])})
			}
			if x.Projection.ProjectionType != types.ProjectionTypeAll {
				rows = append(rows, [2]string{"projected", listHCL(x.Projection.NonKeyAttributes)})
			}
			writeAligned(&out, "      ", rows)
			out.WriteString("    }\n")
		}
		out.WriteString("  }\n")
	}
	out.WriteString("}\n")
	return out.String()
}

// writeAligned writes settings as `tofu fmt` does.
func writeAligned(out *strings.Builder, indent string, rows [][2]string) {
	widest := 0
	for _, r := range rows {
		widest = max(widest, len(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(out, "%s%-*s = %s\n", indent, widest, r[0], r[1])
	}
}

func listHCL(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = quoteHCL(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quoteHCL quotes a text for HCL, where ${ and %{ begin a template.
func quoteHCL(s string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range strings.NewReplacer("${", "$${", "%{", "%%{").Replace(s) {
		switch {
		case r == '"' || r == '\\':
			out.WriteString(`\` + string(r))
		case r < ' ':
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}
