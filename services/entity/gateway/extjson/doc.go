// Package extjson writes BSON documents as JSON and reads them back without a change of any
// type: MongoDB Extended JSON (v2), and plain JSON where the types of fields are declared.
//
//	form := extjson.Form{Types: map[string]string{"born": codec.TypeDate, "stars": codec.TypeInt64}}
//	text, err := form.Append(nil, doc) // {"_id":"x","born":"1815-12-10T00:00:00.000Z","stars":5,"n":{"$numberLong":"5"}}
//	doc, err = form.Parse(text)
//
// A field of the declared type is plain: a date is RFC 3339 text, an objectId its 24 digits, a
// uuid its 36 characters, a decimal128 text, a binary base64, an int64 a number up to 2^53,
// beyond which programs lose digits. In the place of any of these Extended JSON is read, too.
//
// A number whose type is not declared is plain if it is an int32, or a double with a fraction.
// So a program that knows one kind of number, such as one in JavaScript, changes none by
// reading it and writing it back.
//
// Two forms are added to Extended JSON, which has no word for them:
//
//   - {"$string": "x"} is a string where the plan declares another type, and
//   - {"$document": {...}} is a document with a field whose name begins with $. References,
//     of $ref, $id and $db, are documents without that.
//
// Caveats: a NaN is read as the one that JSON text names, and a Decimal128 in its canonical
// encoding. A text that is not UTF-8 is an error.
package extjson
