package mongodb

// command is how a command is carried out.
type command struct {
	run func(r *request, out *reply) error
	trait
}

// trait is what a command takes besides its own fields.
type trait uint8

const (
	numbered   trait = 1 << iota // a session's numbers: txnNumber and stmtIds
	inTxn                        // a place in a transaction
	byUUID                       // collectionUUID, as of MongoDB 6.0
	durable                      // a write concern
	asOf                         // the read concern snapshot outside of transactions
	none       trait = 0
	onDocument       = numbered | inTxn | byUUID | durable
	onCatalog        = byUUID | durable
)

func (t trait) has(other trait) bool { return t&other != 0 }

// handshake are the commands that never meet a fault: a driver sends them by
// itself, to look after its connections.
var handshake = map[string]bool{"hello": true, "isMaster": true, "ismaster": true, "endSessions": true}

var commands = map[string]command{
	"hello":            {hello, none},
	"isMaster":         {hello, none},
	"ismaster":         {hello, none},
	"ping":             {nothingToDo, none},
	"buildInfo":        {buildInfo, none},
	"connectionStatus": {connectionStatus, none},
	"serverStatus":     {serverStatus, none},

	"profile": {setProfile, none},
	"top":     {top, none},

	"endSessions":       {endSessions, none},
	"killSessions":      {endSessions, none},
	"commitTransaction": {commitTransaction, numbered | inTxn | durable},
	"abortTransaction":  {abortTransaction, numbered | inTxn | durable},

	"insert":        {insert, onDocument},
	"update":        {update, onDocument},
	"delete":        {remove, onDocument},
	"findAndModify": {findAndModify, numbered | inTxn | durable},

	"find":        {find, numbered | inTxn | byUUID | asOf},
	"aggregate":   {aggregate, onDocument | asOf},
	"count":       {count, numbered},
	"getMore":     {getMore, numbered | inTxn | asOf}, // drivers repeat the read concern
	"killCursors": {killCursors, inTxn},

	"create":           {create, numbered | inTxn | durable},
	"drop":             {drop, onCatalog},
	"dropDatabase":     {dropDatabase, durable},
	"renameCollection": {renameCollection, onCatalog},
	"collMod":          {collMod, onCatalog},
	"listCollections":  {listCollections, none},
	"createIndexes":    {createIndexes, onCatalog},
	"listIndexes":      {listIndexes, none},
	"dropIndexes":      {dropIndexes, onCatalog},
}

func nothingToDo(*request, *reply) error { return nil }
