// Package cutover changes the owner of an entity: [Cutover.Run] makes DynamoDB the owner, and
// [Cutover.RollBack] MongoDB again. Both are one machine, which holds the members' writes,
// has MongoDB refuse all others, waits until the other store has followed, compares what
// changed since the verification, and then changes the ownership record. [fence.Fence.Undo]
// takes back what was begun.
//
// They differ in the order of two steps. On the way forth the fence comes before the drain:
// what a stranger wrote to the collection before it is carried along. On the way back the
// drain comes first, since behind the fence the way back cannot write either: what one of
// its readers sends late finds a view. And before MongoDB is the owner again the changes'
// position is set behind the fence: nothing that was carried back is read as a change.
//
// A change of owner that was killed has no state to restore: the ownership record says
// whether it is to be undone or finished, and whoever runs next does that.
package cutover
