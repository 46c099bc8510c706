package proxy_test

// What other proxies do otherwise, by reason. They are no worse for most of it: the RFCs allow
// much of it, and the rest is a matter of configuration.
var (
	whyNGINX = byReason(map[string][]string{
		"it takes a bare LF for a line end": {
			"chunk size before a bare LF", "chunk extension with a bare LF", "chunk that ends in a bare LF",
		},
		"it does not look at extensions and trailers": {
			"chunk extension of 100 KB", "trailer without a colon", "trailer of 256 KB",
		},
		"it passes the fragment": {
			"path with a fragment",
		},
		"it is lenient with request lines": {
			"method before two spaces", "version 1.10", "version before a space",
		},
		"it answers HTTP/0.9": {
			"no version (HTTP/0.9)", "no version, with a space",
		},
		"it does not validate Host": {
			"Host with userinfo",
		},
		"it takes Host from the field": {
			"absolute form with another Host",
		},
		"it leaves out fields with invalid names": {
			"a field without a colon", "a field with a parenthesis in its name",
			"a field with a raw byte in its name",
		},
		"it passes control characters": {
			"a field with a control character", "a field with DEL",
		},
		"only where it is configured": {
			"a spoofed Forwarded", "a spoofed X-Forwarded-Prefix (traefik#11253)", "a spoofed X-Forwarded-Port",
			"a spoofed X-Real-IP", "a spoofed X-Original-URL", "a spoofed X-Rewrite-URL",
			"spoofed positions of writes", "fields that Connection names", "fields of the proxy", "TE: trailers",
			"Upgrade: h2c", "Upgrade: h2c that Connection does not name", "fields that repeat in an answer",
			"fields of one connection", "the position of a write",
		},
		"it passes no trailers": {
			"a trailer that was announced", "a trailer in an answer",
		},
		"it passes invalid answers": {
			"a status without a reason", "a version that is unknown, to a POST",
			"a version that is unknown, to a GET", "a status of two digits, to a POST",
			"a status of two digits, to a GET", "a status of four digits, to a POST",
			"a status of four digits, to a GET", "a status that is no number, to a POST",
			"a status that is no number, to a GET", "a status below 100, to a POST", "a status below 100, to a GET",
			"two lengths, to a POST", "two lengths, to a GET", "a coding besides chunked, to a POST",
			"a coding besides chunked, to a GET", "a coding instead of chunked, to a POST",
			"a coding instead of chunked, to a GET", "a field of the upstream without a colon, to a POST",
			"a field of the upstream without a colon, to a GET",
		},
		"it passes no interim answers": {
			"100 that nobody asked for", "102, three times", "103", "Expect that the upstream grants", "interim answers of 256 KB, to a POST",
			"interim answers of 256 KB, to a GET", "interim answers, and then nothing",
		},
		"it repeats idempotent methods": {
			"a head that is cut, to a GET", "DELETE with Idempotency-Key and no answer",
			"PUT with Idempotency-Key and no answer", "a reset, to a GET", "no answer, to a GET",
		},
		"it takes what has no valid head for HTTP/0.9, or waits for more": {
			"a banner of another protocol, to a POST", "a banner of another protocol, to a GET",
			"HTML without a head, to a POST", "HTML without a head, to a GET", "a length with a sign, to a POST",
			"a length with a sign, to a GET", "a length below zero, to a POST", "a length below zero, to a GET",
			"a length over 64 bits, to a POST", "a length over 64 bits, to a GET",
		},
		"it changes the protocol on the upstream's word": {
			"101 that was not asked for, to a POST", "101 that was not asked for, to a GET",
			"101 to another protocol",
		},
	})
	whyHAProxy = byReason(map[string][]string{
		"it passes underscores": {
			"length with an underscore in its name", "coding with an underscore in its name",
			"spoofed fields with underscores",
		},
		"it passes the field as it came": {
			"coding before a comma",
		},
		"it takes a bare LF for a line end": {
			"chunk size before a bare LF", "chunk extension with a bare LF", "chunk that ends in a bare LF",
		},
		"it passes any trailer": {
			"trailer that routes", "trailer with an invalid name", "a trailer with an invalid name, in an answer",
		},
		"it passes any target as it came": {
			"path without a slash", "path that is userinfo", "GET of the server", "CONNECT to the proxy itself",
			"absolute form", "absolute form of https", "absolute form of another scheme",
			"absolute form with userinfo",
		},
		"it is lenient with request lines": {
			"method before two spaces", "method before a tab", "version 2.0", "version 9.9",
		},
		"it does not validate Host": {
			"no Host", "Host twice, the same", "Host with a space", "Host with a path", "Host with userinfo",
			"Host with a list", "Host with NUL",
		},
		"it passes control characters": {
			"a field with NUL", "a field with a control character", "a field with DEL",
		},
		"only where it is configured": {
			"a spoofed Forwarded", "a spoofed X-Real-IP", "a spoofed X-Original-URL", "a spoofed X-Rewrite-URL",
			"spoofed positions of writes", "fields that Connection names", "fields of the proxy", "Upgrade: h2c",
			"Upgrade: h2c that Connection does not name", "Upgrade: TLS", "fields of one connection",
			"the position of a write",
		},
		"it leaves the expectation to the upstream": {
			"Expect: 100-continue", "Expect: 100-continue in other letters",
		},
		"it passes chunks to HTTP/1.0": {
			"chunks for a client of HTTP/1.0",
		},
		"it passes invalid answers": {
			"a version that is unknown, to a POST", "a version that is unknown, to a GET",
			"a status of two digits, to a POST", "a status of two digits, to a GET",
			"a status of four digits, to a POST", "a status of four digits, to a GET",
			"a status below 100, to a POST", "a status below 100, to a GET", "a value with NUL, to a POST",
			"a value with NUL, to a GET",
		},
		"it has no limit of interim answers": {
			"interim answers of 256 KB, to a POST", "interim answers of 256 KB, to a GET",
		},
		"it changes the protocol on the upstream's word": {
			"101 to another protocol",
		},
		"it ends the connection instead": {
			"a reset during an upload",
			"POST with Idempotency-Key and no answer", "DELETE with Idempotency-Key and no answer",
			"PUT with Idempotency-Key and no answer", "PATCH with Idempotency-Key and no answer",
		},
	})
)

func byReason(reasons map[string][]string) map[string]string {
	out := map[string]string{}
	for reason, names := range reasons {
		for _, name := range names {
			out[name] = reason
		}
	}
	return out
}
