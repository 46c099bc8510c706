package dynamodb_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func (s *suite) transactions(t *testing.T) {
	t.Run("do all", s.wholeTransaction)
	t.Run("or nothing, and say why", s.canceledTransaction)
	t.Run("once for a token", s.transactionToken)
	t.Run("are refused", s.badTransactions)
	t.Run("keep a sum under contention", s.transfers)
}

func (s *suite) transact(t *testing.T, items ...types.TransactWriteItem) error {
	t.Helper()
	_, err := s.client.TransactWriteItems(contextOf(t), &dynamodb.TransactWriteItemsInput{TransactItems: items})
	return err
}

func transactPut(table string, it item) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{TableName: &table, Item: it}}
}

func transactCheck(table string, k item, condition string) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &table, Key: k, ConditionExpression: &condition}}
}

func transactUpdate(table string, k item, expression string) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{TableName: &table, Key: k, UpdateExpression: &expression,
		ExpressionAttributeValues: values(placeholders, &expression)}}
}

func transactDelete(table string, k item) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: &table, Key: k}}
}

func (s *suite) wholeTransaction(t *testing.T) {
	first, second := s.table(t, spec{sort: "S"}), s.table(t, spec{})
	s.put(t, first, key("p", "gone"))
	s.put(t, first, with(key("p", "checked"), item{"n": num("1")}))
	err := s.transact(t, transactPut(first, key("p", "new")), transactUpdate(second, item{"pk": str("made")}, "ADD n :five"),
		transactDelete(first, key("p", "gone")), transactCheck(first, key("p", "checked"), "attribute_exists(n)"), transactDelete(first, key("never", "there")))
	if err != nil {
		t.Fatal(err)
	}
	wantItem(t, s.get(t, first, key("p", "new")), key("p", "new"))
	wantItem(t, s.get(t, second, item{"pk": str("made")}), item{"pk": str("made"), "n": num("5")})
	wantItem(t, s.get(t, first, key("p", "gone")), nil)
	wantItem(t, s.get(t, first, key("p", "checked")), with(key("p", "checked"), item{"n": num("1")}))
}

func (s *suite) canceledTransaction(t *testing.T) {
	table := s.table(t, spec{sort: "S"})
	stored := with(key("p", "1"), item{"n": num("1"), "s": str("text")})
	s.put(t, table, stored)
	check := transactCheck(table, key("p", "1"), "attribute_not_exists(pk)")
	check.ConditionCheck.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	err := s.transact(t, transactPut(table, key("p", "2")), check, transactCheck(table, key("p", "3"), "attribute_exists(pk)"))
	failed := as[*types.TransactionCanceledException](t, err)
	wantReasons(t, failed, "None", "ConditionalCheckFailed", "ConditionalCheckFailed")
	wantItem(t, failed.CancellationReasons[1].Item, stored)
	wantItem(t, failed.CancellationReasons[2].Item, nil)
	if want := "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, " +
		"ConditionalCheckFailed]"; failed.ErrorMessage() != want {
		t.Errorf("the message is %q", failed.ErrorMessage())
	}
	wantItem(t, s.get(t, table, key("p", "2")), nil)
	err = s.transact(t, transactPut(table, key("p", "2")), transactUpdate(table, key("p", "1"), "ADD s :one"))
	if err == nil {
		t.Error("an update of the wrong type went through")
	}
	wantItem(t, s.get(t, table, key("p", "2")), nil)
	wantItem(t, s.get(t, table, key("p", "1")), stored)
	t.Run("with ValidationError for what does not fit the item", func(t *testing.T) {
		s.deviates(t, "it answers ValidationException; the documentation of TransactWriteItems lists the message among the cancellation "+
			"reasons of code ValidationError")
		wantReasons(t, as[*types.TransactionCanceledException](t, err), "None", "ValidationError")
	})
}

func wantReasons(t *testing.T, failed *types.TransactionCanceledException, codes ...string) {
	t.Helper()
	var got []string
	for _, r := range failed.CancellationReasons {
		got = append(got, aws.ToString(r.Code))
	}
	if fmt.Sprint(got) != fmt.Sprint(codes) {
		t.Fatalf("the reasons are %v, want %v", got, codes)
	}
}

func (s *suite) transactionToken(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{})
	in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String(name()[len("banyan.test-"):]),
		TransactItems: []types.TransactWriteItem{transactUpdate(table, item{"pk": str("a")}, "ADD n :one"), transactPut(table, everything("e"))}}
	for range 3 {
		if _, err := s.client.TransactWriteItems(ctx, in); err != nil {
			t.Fatal(err)
		}
	}
	wantItem(t, s.get(t, table, item{"pk": str("a")}), item{"pk": str("a"), "n": num("1")})
	in.TransactItems = in.TransactItems[:1]
	_, err := s.client.TransactWriteItems(ctx, in)
	wantError(t, err, "IdempotentParameterMismatchException")
	t.Run("failed ones may be tried again", func(t *testing.T) {
		again := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String(name()[len("banyan.test-"):]),
			TransactItems: []types.TransactWriteItem{transactCheck(table, item{"pk": str("later")}, "attribute_exists(pk)"),
				transactUpdate(table, item{"pk": str("a")}, "ADD n :one")}}
		_, err := s.client.TransactWriteItems(ctx, again)
		as[*types.TransactionCanceledException](t, err)
		s.put(t, table, item{"pk": str("later")})
		if _, err := s.client.TransactWriteItems(ctx, again); err != nil {
			t.Fatal(err)
		}
		wantItem(t, s.get(t, table, item{"pk": str("a")}), item{"pk": str("a"), "n": num("2")})
	})
}

func (s *suite) badTransactions(t *testing.T) {
	table := s.table(t, spec{sort: "S"})
	many := make([]types.TransactWriteItem, 101)
	for i := range many {
		many[i] = transactPut(table, key("p", strconv.Itoa(i)))
	}
	two := transactPut(table, key("p", "1"))
	two.Delete = transactDelete(table, key("p", "2")).Delete
	large := make([]types.TransactWriteItem, 11)
	for i := range large {
		large[i] = transactPut(table, with(key("p", strconv.Itoa(i)), item{"x": str(strings.Repeat("x", 390<<10))}))
	}
	for what, c := range map[string]struct {
		items []types.TransactWriteItem
		words string
	}{
		"none":     {[]types.TransactWriteItem{}, ""},
		"too many": {many, "Member must have length less than or equal to 100"},
		"one item twice": {[]types.TransactWriteItem{transactPut(table, key("p", "1")), transactDelete(table, key("p", "1"))},
			"Transaction request cannot include multiple operations on one item"},
		"two in one":     {[]types.TransactWriteItem{two}, "TransactItems can only contain one of Check, Put, Update or Delete"},
		"nothing in one": {[]types.TransactWriteItem{{}}, ""},
		"a missing key":  {[]types.TransactWriteItem{transactPut(table, item{"pk": str("a")})}, ""},
		"a syntax error": {[]types.TransactWriteItem{transactUpdate(table, key("p", "1"), "SET n = :one :one")}, "Syntax error"},
		"more than 4 MB": {large, ""},
	} {
		t.Run(what, func(t *testing.T) { wantError(t, s.transact(t, c.items...), validation, c.words) })
	}
	wantError(t, s.transact(t, transactPut("no.such.table", key("p", "1"))), "ResourceNotFoundException")
	wantItem(t, s.get(t, table, key("p", "1")), nil)
	if err := s.transact(t, many[:100]...); err != nil {
		t.Error(err)
	}
}

// transfers moves amounts between accounts from several goroutines.
func (s *suite) transfers(t *testing.T) {
	const accounts, movers, moves = 4, 4, 25
	table := s.table(t, spec{})
	for i := range accounts {
		s.put(t, table, item{"pk": str(strconv.Itoa(i)), "n": num("100")})
	}
	var wg sync.WaitGroup
	for m := range movers {
		wg.Go(func() {
			for i := range moves {
				from, to := (m+i)%accounts, (m+i*i+1)%accounts
				if from == to {
					continue
				}
				err := s.transact(t, transactUpdate(table, item{"pk": str(strconv.Itoa(from))}, "ADD n :less"),
					transactUpdate(table, item{"pk": str(strconv.Itoa(to))}, "ADD n :one"))
				if err != nil && !strings.Contains(err.Error(), "TransactionConflict") {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if sum := s.sum(t, table); sum != accounts*100 {
		t.Errorf("the sum is %d at the end", sum)
	}
}

func (s *suite) sum(t *testing.T, table string) (sum int) {
	out, err := s.client.Scan(contextOf(t), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range out.Items {
		n, _ := strconv.Atoi(it["n"].(*types.AttributeValueMemberN).Value)
		sum += n
	}
	return sum
}
