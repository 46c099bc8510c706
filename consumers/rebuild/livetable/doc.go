// Package livetable has the pointer that says which table of a read model is live, and the
// reader's side of it.
//
// A reader asks a [Follower] for the table instead of a setting, and so changes tables within
// [DefaultAge] after a switch, without a deployment:
//
//	live, err := livetable.Follow(livetable.Config{Client: client, Control: "banyan-rebuilds", Model: "orders", Default: "orders"})
//	// for each request:
//	ctx, err = live.Pin(ctx)      // the same table for the whole request
//	table, err := live.Table(ctx)
//
// Package rebuild moves the pointer. It needs dynamodb:GetItem on the control table here, and
// dynamodb:PutItem there.
//
// Caveats:
//
//   - A request that began before the switch ends on the table that it began with.
//   - A pointer that cannot be read keeps a reader on the table that it last knew, which is
//     logged at each attempt. So while DynamoDB refuses reads of the pointer alone, a reader may
//     be behind for longer than the age.
//   - A reader that could not read the pointer once has no table: its setting may be the one
//     from before a switch.
package livetable
