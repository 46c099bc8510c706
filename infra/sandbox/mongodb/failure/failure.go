// Package failure holds the errors that the sandbox's MongoDB answers with.
//
// Caveat: only the codes that the sandbox can produce are named here. Codes and
// names are those of MongoDB's error_codes.yml, because drivers decide by the
// number (is it retryable, is it transient) and people read the name.
package failure

import "fmt"

// Code is a MongoDB error code.
type Code int32

// The codes the sandbox answers with.
const (
	InternalError              Code = 1
	BadValue                   Code = 2
	FailedToParse              Code = 9
	TypeMismatch               Code = 14
	Overflow                   Code = 15
	InvalidBSON                Code = 22
	NamespaceNotFound          Code = 26
	IndexNotFound              Code = 27
	PathNotViable              Code = 28
	ConflictingUpdateOperators Code = 40
	CursorNotFound             Code = 43
	NamespaceExists            Code = 48
	MaxTimeMSExpired           Code = 50
	DollarPrefixedFieldName    Code = 52
	EmptyFieldName             Code = 56
	CommandNotFound            Code = 59
	ImmutableField             Code = 66
	CannotCreateIndex          Code = 67
	InvalidOptions             Code = 72
	InvalidNamespace           Code = 73
	IndexOptionsConflict       Code = 85
	IndexKeySpecsConflict      Code = 86
	WriteConflict              Code = 112
	DocumentValidationFailure  Code = 121
	CommandNotSupportedOnView  Code = 166
	ViewDepthLimitExceeded     Code = 165
	InvalidIndexSpecification  Code = 197
	TransactionTooOld          Code = 225
	NotImplemented             Code = 238
	SnapshotTooOld             Code = 239
	SnapshotUnavailable        Code = 246
	NoSuchTransaction          Code = 251
	TransactionCommitted       Code = 256
	InvalidResumeToken         Code = 260
	TooManyLogicalSessions     Code = 261
	OperationNotSupportedInTxn Code = 263
	ChangeStreamFatalError     Code = 280
	ChangeStreamHistoryLost    Code = 286
	NoMatchingDocument         Code = 47
	InvalidLength              Code = 16
	LockTimeout                Code = 24
	CollectionUUIDMismatch     Code = 361
	QueryPlanKilled            Code = 175
	UnknownReplWriteConcern    Code = 79
	UnsatisfiableWriteConcern  Code = 100
	IDLUnknownField            Code = 40415
	NotWritablePrimary         Code = 10107
	BSONObjectTooLarge         Code = 10334
	DuplicateKey               Code = 11000
	InvalidPipelineOperator    Code = 168
	FieldPathInvalid           Code = 16410
	IndexAlreadyExists         Code = 68
	ShutdownInProgress         Code = 91
)

var names = map[Code]string{
	InternalError: "InternalError", BadValue: "BadValue",
	FailedToParse: "FailedToParse", TypeMismatch: "TypeMismatch", Overflow: "Overflow",
	InvalidBSON: "InvalidBSON", NamespaceNotFound: "NamespaceNotFound", IndexNotFound: "IndexNotFound",
	PathNotViable: "PathNotViable", ConflictingUpdateOperators: "ConflictingUpdateOperators",
	CursorNotFound: "CursorNotFound", NamespaceExists: "NamespaceExists", MaxTimeMSExpired: "MaxTimeMSExpired",
	DollarPrefixedFieldName: "DollarPrefixedFieldName", EmptyFieldName: "EmptyFieldName",
	CommandNotFound: "CommandNotFound", ImmutableField: "ImmutableField", CannotCreateIndex: "CannotCreateIndex",
	InvalidOptions: "InvalidOptions", InvalidNamespace: "InvalidNamespace",
	IndexOptionsConflict: "IndexOptionsConflict", IndexKeySpecsConflict: "IndexKeySpecsConflict",
	WriteConflict: "WriteConflict", DocumentValidationFailure: "DocumentValidationFailure",
	CommandNotSupportedOnView: "CommandNotSupportedOnView", ViewDepthLimitExceeded: "ViewDepthLimitExceeded",
	InvalidIndexSpecification: "InvalidIndexSpecificationOption", TransactionTooOld: "TransactionTooOld",
	NotImplemented: "NotImplemented", SnapshotTooOld: "SnapshotTooOld", SnapshotUnavailable: "SnapshotUnavailable",
	NoSuchTransaction: "NoSuchTransaction", TransactionCommitted: "TransactionCommitted",
	InvalidResumeToken: "InvalidResumeToken", TooManyLogicalSessions: "TooManyLogicalSessions",
	OperationNotSupportedInTxn: "OperationNotSupportedInTransaction",
	ChangeStreamFatalError:     "ChangeStreamFatalError", ChangeStreamHistoryLost: "ChangeStreamHistoryLost",
	NoMatchingDocument: "NoMatchingDocument", InvalidLength: "InvalidLength",
	NotWritablePrimary: "NotWritablePrimary", BSONObjectTooLarge: "BSONObjectTooLarge",
	DuplicateKey: "DuplicateKey", InvalidPipelineOperator: "InvalidPipelineOperator",
	IndexAlreadyExists: "IndexAlreadyExists", ShutdownInProgress: "ShutdownInProgress", LockTimeout: "LockTimeout",
	CollectionUUIDMismatch: "CollectionUUIDMismatch", QueryPlanKilled: "QueryPlanKilled",
	UnknownReplWriteConcern: "UnknownReplWriteConcern", UnsatisfiableWriteConcern: "UnsatisfiableWriteConcern",
	IDLUnknownField: "IDLUnknownField",
}

// String is MongoDB's name of the code, or "Location<n>" as the server says it.
func (c Code) String() string {
	if n, ok := names[c]; ok {
		return n
	}
	return fmt.Sprintf("Location%d", int32(c))
}

// Error is an answer with ok: 0, or one entry of writeErrors.
type Error struct {
	Code    Code
	Message string
	Labels  []string // errorLabels, e.g. "RetryableWriteError"
	Extra   []byte   // elements (not a document) added to the answer, e.g. keyPattern and keyValue
}

// Error says the code's name and the message.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Message }

// New makes an error; the message is a fmt format.
func New(c Code, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// Unsupported is the answer to what MongoDB can do and the sandbox cannot.
func Unsupported(format string, args ...any) *Error {
	return New(NotImplemented, "not implemented by the sandbox: "+format, args...)
}

// WithLabels adds error labels.
func (e *Error) WithLabels(labels ...string) *Error {
	e.Labels = append(e.Labels, labels...)
	return e
}
