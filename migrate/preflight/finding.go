package preflight

import "fmt"

// Severity says what a finding does to the plan.
type Severity string

// The severities, the worst first.
const (
	// Stops: the migration cannot begin while this is so.
	Stops Severity = "stops"
	// Acknowledge: something does not carry over, or a risk stays. The plan stops until
	// its key "acknowledge" lists the finding's name.
	Acknowledge Severity = "acknowledge"
	// Told: good to know.
	Told Severity = "told"
)

// Finding is one thing that a preflight saw.
type Finding struct {
	// Name identifies the finding in the plan's key "acknowledge", such as "index:bio_text".
	// It is the same each time.
	Name     string   `json:"name"`
	Severity Severity `json:"severity"`
	// Acknowledged is set where the plan lists the name.
	Acknowledged bool   `json:"acknowledged,omitempty"`
	What         string `json:"what"`            // was seen
	Means        string `json:"means,omitempty"` // for the migration
	Do           string `json:"do,omitempty"`    // by the operator
}

// Blocks reports whether the plan stops because of the finding.
func (f Finding) Blocks() bool {
	return f.Severity == Stops || f.Severity == Acknowledge && !f.Acknowledged
}

// String says all of it in one line.
func (f Finding) String() string {
	text := f.Name + ": " + f.What
	for _, more := range []string{f.Means, f.Do} {
		if more != "" {
			text += "; " + more
		}
	}
	return text
}

// told makes a finding without consequence.
func told(name, what, means, do string) Finding {
	return Finding{Name: name, Severity: Told, What: what, Means: means, Do: do}
}

// stops makes a finding that stops the plan.
func stops(name, what, means, do string) Finding {
	return Finding{Name: name, Severity: Stops, What: what, Means: means, Do: do}
}

// acknowledge makes a finding that the plan must list.
func acknowledge(name, what, means, do string) Finding {
	return Finding{Name: name, Severity: Acknowledge, What: what, Means: means, Do: do}
}

// applyAcknowledged marks the findings whose names the plan lists, and tells the names
// that match nothing: they may be misspelt, or what they accept may be gone.
func applyAcknowledged(all []Finding, names []string) []Finding {
	listed := map[string]bool{}
	for _, name := range names {
		listed[name] = true
	}
	for i, f := range all {
		if listed[f.Name] && f.Severity == Acknowledge {
			all[i].Acknowledged = true
			delete(listed, f.Name)
		}
	}
	for _, name := range names {
		if listed[name] {
			all = append(all, told("unused:"+name, fmt.Sprintf("the plan acknowledges %q, and nothing of that name has to be", name), "",
				"correct the name, or take it out of the plan"))
			delete(listed, name)
		}
	}
	return all
}
