// Package diff compares what two sides answered to one request, and counts: it says
// whether a route may be moved from the legacy app to a new API, and what is in the
// way. It sends nothing; proxy/shadow feeds it.
//
//	rules, err := diff.Compile(diff.Spec{Ignore: []string{"$..servedBy"}})
//	differences := diff.Compare(primary, shadow, rules)
//	ledger.Add(diff.Comparison{At: now, Status: primary.Status, Version: "5.2", Differences: differences})
//	ledger.Learn(diff.Comparison{At: now, Differences: diff.Compare(primary, again, rules)}) // the same side, asked twice
//	verdict := ledger.Verdict(diff.Gate{Comparisons: map[string]int64{"2xx": 5000}})
//
// A difference has a path, such as $.items[].price, that all items share. A path that
// differs is explained when it differs no more often than between two answers of the
// same side; everything else must be corrected or ignored by a rule before a Gate
// opens. Differences and samples keep values to look at, with secrets removed.
//
// # Caveats
//
//   - JSON is compared by value. Of members with the same name the last one counts, as
//     for most clients, and unpaired surrogates (\ud800) are all alike.
//   - Bodies above MaxBody, capped ones, and encodings other than gzip are compared in
//     part: as bytes, up to the cap; capped JSON only by status and headers. Such
//     comparisons are counted as partial and open no gate.
//   - An item that is compared whole in an unordered array must be equal but for what
//     rules ignore; a tolerance inside needs the member that identifies the item.
//   - A Ledger is one process' own. With [Book.Keep] the next process on the machine counts on;
//     a fleet's gate is the Verdict of a Ledger that merged the Reports of all of them.
//   - Versions are what clients say. A flood of invented ones ends in "(others)" and
//     keeps a gate shut; it cannot open one.
//   - Secrets are removed by name and by shape, which knows no names of people.
package diff
