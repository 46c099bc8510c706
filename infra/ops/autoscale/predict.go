package autoscale

// predict spreads the load of shards over n even ranges, on the assumption that
// within a shard it is even.
func predict(shards []Shard, load []float64, n int) []float64 {
	out := make([]float64, n)
	for i, s := range shards {
		first, share := fraction(s.First), s.share()
		if share <= 0 {
			continue
		}
		last := first + share
		for k := max(0, int(first*float64(n))); k < n; k++ {
			from, to := float64(k)/float64(n), float64(k+1)/float64(n)
			if from >= last {
				break
			}
			if both := min(last, to) - max(first, from); both > 0 {
				out[k] += load[i] * both / share
			}
		}
	}
	return out
}
