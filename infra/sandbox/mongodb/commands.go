package mongodb

// command is how a command is carried out.
type command struct {
	run         func(r *request, out *reply) error
	sessionless bool // does not look at lsid and txnNumber
}

// handshake are the commands that never meet a fault: a driver sends them by
// itself, to look after its connections.
var handshake = map[string]bool{"hello": true, "isMaster": true, "ismaster": true, "endSessions": true}

var commands = map[string]command{
	"hello":            {hello, true},
	"isMaster":         {hello, true},
	"ismaster":         {hello, true},
	"ping":             {nothingToDo, true},
	"buildInfo":        {buildInfo, true},
	"buildinfo":        {buildInfo, true},
	"connectionStatus": {connectionStatus, true},
	"logout":           {nothingToDo, true},

	"endSessions":       {endSessions, true},
	"killSessions":      {endSessions, true},
	"commitTransaction": {commitTransaction, false},
	"abortTransaction":  {abortTransaction, false},

	"insert":        {insert, false},
	"update":        {update, false},
	"delete":        {remove, false},
	"findAndModify": {findAndModify, false},
	"findandmodify": {findAndModify, false},

	"find":        {find, false},
	"aggregate":   {aggregate, false},
	"count":       {count, false},
	"getMore":     {getMore, false},
	"killCursors": {killCursors, true},

	"create":           {create, false},
	"drop":             {drop, true},
	"dropDatabase":     {dropDatabase, true},
	"renameCollection": {renameCollection, true},
	"collMod":          {collMod, true},
	"listCollections":  {listCollections, true},
	"listDatabases":    {listDatabases, true},
	"createIndexes":    {createIndexes, true},
	"listIndexes":      {listIndexes, true},
	"dropIndexes":      {dropIndexes, true},
}

func nothingToDo(*request, *reply) error { return nil }
