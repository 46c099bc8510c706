package deadletter

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/internal/pksk"
)

// TableInput is the definition of the table.
func TableInput(name string) *dynamodb.CreateTableInput { return pksk.TableInput(name) }
