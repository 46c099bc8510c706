// Package mongodb keeps users in the collection "users" that the service shares
// with the monolith's database.
//
// Caveats first:
//
//   - The fence of a cut-over renames the collection and puts a read-only view in
//     its place. Writes are then refused by the server with error 166, which is
//     returned as ownership.ErrFenced.
//   - Between the renaming and the making of the view there is no collection, and
//     a query finds nothing although the users are there. So "not found" is only
//     believed after the namespace was seen to be the same before and after.
//     This costs two listCollections, in the not-found case alone.
//   - An insert at that instant makes a collection anew; it is acknowledged, and
//     the migration carries it over. Such a stray has no unique index on e-mail.
//   - Operations are repeated where a connection broke, see [Database]. A change that
//     asks for no version, was made all the same, and was overwritten by somebody
//     else's before it was repeated, is made again, as if it had come later.
//
// Documents are {_id: ObjectId, name, email, password, bio?, version?, createdAt?};
// those without version are at version 0, those without createdAt were created at
// the time in their id. Fields that the service does not know are left alone.
package mongodb
