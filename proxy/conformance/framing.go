package conformance

import "strings"

// What a request may become, by its kind.
var (
	refused = Want{Refused: true}
	passed  = Want{Sees: []string{"POST {path} {b}"}}
	fetched = Want{Sees: []string{"GET {path}"}}
	either  = passed.or()
	// closed is for two framings in one request: RFC 9112, section 6.1.
	closed = Want{Sees: passed.Sees, Refused: true, Or: true, Closes: true}
)

func (w Want) or() Want     { w.Refused, w.Or = true, true; return w }
func (w Want) open() Want   { w.Open = true; return w }
func (w Want) silent() Want { w.Silent = true; return w }

func (w Want) seeing(requests ...string) Want { w.Sees = requests; return w }
func (w Want) with(fields ...string) Want     { w.SeesHas = fields; return w }
func (w Want) without(fields ...string) Want  { w.SeesNot = fields; return w }

// row is a POST with the fields and the body.
type row struct {
	name, fields, body string
	want               Want
}

func posts(rows []row) (out []Case) {
	for _, r := range rows {
		out = append(out, Case{Name: r.name, Send: "POST {path} HTTP/1.1\n{h}" + r.fields + "\n\n" + r.body, Want: r.want})
	}
	return out
}

// framing is about where a request ends: RFC 9112, sections 6 and 7. A canary follows each
// one on the connection at once, and must not become part of it, nor be cut in two.
func framing() []Case {
	inChunks := func(name, body string, w Want) row { return row{name, "Transfer-Encoding: chunked", body, w} }
	nothing := Want{Sees: []string{"POST {path} {empty}"}, Lonely: true, Status: []int{200, 400}}
	return posts([]row{
		{"length", "Content-Length: 7", "{b}", passed},
		{"length with leading zeros", "Content-Length: 0007", "{b}", either},
		{"length with a sign", "Content-Length: +7", "{b}", refused},
		{"length below zero", "Content-Length: -1", "{b}", refused},
		{"length of minus zero", "Content-Length: -0", "{b}", refused},
		{"length in hex", "Content-Length: 0x7", "{b}", refused},
		{"length in decimals", "Content-Length: 7.0", "{b}", refused},
		{"length with an exponent", "Content-Length: 7e0", "{b}", refused},
		{"length with an underscore", "Content-Length: 0_7", "{b}", refused},
		{"length in quotes", `Content-Length: "7"`, "{b}", refused},
		{"length in wide digits", "Content-Length: ７", "{b}", refused},
		{"length with garbage", "Content-Length: 7x", "{b}", refused},
		{"length with a space inside", "Content-Length: 0 7", "{b}", refused},
		{"length with NUL", "Content-Length: 7<NUL>", "{b}", refused},
		{"length after a vertical tab", "Content-Length: \v7", "{b}", refused},
		{"length after a no-break space", "Content-Length: \u00a07", "{b}", refused},
		{"length that is empty", "Content-Length:", "{b}", refused},
		{"length over 64 bits", "Content-Length: 99999999999999999999999", "{b}", refused},
		{"length that wraps to 7", "Content-Length: 18446744073709551623", "{b}", refused},
		{"length before a space and the colon", "Content-Length : 7", "{b}", refused},
		{"length before a tab and the colon", "Content-Length\t: 7", "{b}", refused},
		{"length twice, the same", "Content-Length: 7\nContent-Length: 7", "{b}", either},
		{"length twice, different", "Content-Length: 7\nContent-Length: 8", "{b}", refused},
		{"length twice, in other letters", "content-length: 7\nCONTENT-LENGTH: 0", "{b}", refused},
		{"length as a list of the same", "Content-Length: 7, 7", "{b}", either},
		{"length as a list of different", "Content-Length: 7, 8", "{b}", refused},
		{"length with an underscore in its name", "Content-Length: 7\nContent_Length: 3", "{b}", either.without("Content_Length")},
		{"length that Connection names", "Connection: Content-Length\nContent-Length: 7", "{b}", either},
		{"length of nothing", "Content-Length: 0", "", nothing},
		{"no length", "X-Other: 1", "", nothing},
		{"body that is shorter than its length", "Content-Length: 7", `{"a<END>`, refused.silent()},
		{"CRLF after a body", "Content-Length: 7", "{b}\n", either},
		{"coding and length", "Transfer-Encoding: chunked\nContent-Length: 7", "{chunked}", closed},
		{"length and coding", "Content-Length: 7\nTransfer-Encoding: chunked", "{chunked}", closed},
		{"CL.TE: a request inside of a length", "Content-Length: 50\nTransfer-Encoding: chunked",
			"0\n\nGET {base}/smuggled HTTP/1.1\n{h}\n", closed.seeing("POST {path} {empty}")},
		{"TE.CL: a request inside of a chunk", "Content-Length: 4\nTransfer-Encoding: chunked",
			"38\nGET {base}/smuggled HTTP/1.1\nX-Ignored: 1234567890123456\n0\n\n", refused},
		{"coding and a length that is invalid", "Transfer-Encoding: chunked\nContent-Length: x", "{chunked}", closed},
		{"coding in mixed case", "Transfer-Encoding: cHuNkEd", "{chunked}", passed},
		{"coding after a tab", "Transfer-Encoding:\tchunked", "{chunked}", either},
		{"coding before a space", "Transfer-Encoding: chunked ", "{chunked}", either},
		{"coding after a vertical tab", "Transfer-Encoding: \vchunked", "{chunked}", refused},
		{"coding with NUL", "Transfer-Encoding: chunked<NUL>", "{chunked}", refused},
		{"coding in quotes", `Transfer-Encoding: "chunked"`, "{chunked}", refused},
		{"coding that is identity", "Transfer-Encoding: identity\nContent-Length: 7", "{b}", refused},
		{"coding that is gzip", "Transfer-Encoding: gzip", "{chunked}", refused},
		{"coding that is gzip, then chunked", "Transfer-Encoding: gzip, chunked", "{chunked}", refused},
		{"coding that is chunked, then gzip", "Transfer-Encoding: chunked, gzip", "{chunked}", refused},
		{"coding that is chunked, then identity", "Transfer-Encoding: chunked, identity", "{chunked}", refused},
		{"coding that is chunked, then chunked", "Transfer-Encoding: chunked, chunked", "{chunked}", refused},
		{"coding twice", "Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "{chunked}", refused},
		{"coding twice, identity first", "Transfer-Encoding: identity\nTransfer-Encoding: chunked", "{chunked}", refused},
		{"coding twice, chunked first", "Transfer-Encoding: chunked\nTransfer-Encoding: cow", "{chunked}", refused},
		{"coding with a letter more", "Transfer-Encoding: xchunked", "{chunked}", refused},
		{"coding with a parameter", "Transfer-Encoding: chunked;a=b", "{chunked}", refused},
		{"coding after a comma", "Transfer-Encoding: ,chunked", "{chunked}", either},
		{"coding before a comma", "Transfer-Encoding: chunked,", "{chunked}", either},
		{"coding that is empty, with a length", "Transfer-Encoding:\nContent-Length: 7", "{b}", refused},
		{"coding before a space and the colon", "Transfer-Encoding : chunked", "{chunked}", refused},
		{"coding in a folded line", "Transfer-Encoding:\n chunked", "{chunked}", either},
		{"coding after a bare CR", "X-Other: 1<CR>Transfer-Encoding: chunked", "{chunked}", refused},
		{"coding before a bare CR", "Transfer-Encoding: chunked<CR>X-Other: 1", "{chunked}", refused},
		{"coding after a bare LF", "X-Other: 1<LF>Transfer-Encoding: chunked", "{chunked}", either},
		{"coding with an underscore in its name", "Transfer_Encoding: chunked\nContent-Length: 7", "{b}", either.without("Transfer_Encoding")},
		{"coding that Connection names", "Connection: Transfer-Encoding\nTransfer-Encoding: chunked", "{chunked}", either},

		inChunks("chunks", "3\n{\"a\n4\n\":1}\n0\n\n", passed),
		inChunks("chunks of one byte", "1\n{\n1\n\"\n1\na\n1\n\"\n1\n:\n1\n1\n1\n}\n0\n\n", passed),
		inChunks("chunk size in capitals, padded", "000A\n{\"a\":1234}\n0\n\n", either.seeing(`POST {path} {"a":1234}`)),
		inChunks("chunk size with 20 zeros", "000000000000000000007\n{b}\n0\n\n", either),
		inChunks("chunk size over 64 bits", "FFFFFFFFFFFFFFFFF\n{b}\n0\n\n", refused),
		inChunks("chunk size that wraps to 7", "10000000000000007\n{b}\n0\n\n", refused),
		inChunks("chunk size below zero", "-7\n{b}\n0\n\n", refused),
		inChunks("chunk size with a sign", "+7\n{b}\n0\n\n", refused),
		inChunks("chunk size with 0x", "0x7\n{b}\n0\n\n", refused),
		inChunks("chunk size with an underscore", "0_7\n{b}\n0\n\n", refused),
		inChunks("chunk size with garbage", "7g\n{b}\n0\n\n", refused),
		inChunks("chunk size that is empty", "\n{b}\n0\n\n", refused),
		inChunks("chunk size after a space", " 7\n{b}\n0\n\n", refused),
		inChunks("chunk size before a space", "7 \n{b}\n0\n\n", either),
		inChunks("chunk size before a bare LF", "7<LF>{b}\n0\n\n", refused),
		inChunks("chunk size before a bare CR", "7<CR>{b}\n0\n\n", refused),
		inChunks("chunk extension", "7;a=b\n{b}\n0;c\n\n", passed),
		inChunks("chunk extension in quotes", "7;a=\"b; c\"\n{b}\n0\n\n", passed),
		inChunks("chunk extension with a bare LF", "7;a<LF>{b}\n0\n\n", refused),
		inChunks("chunk extension with a bare CR", "7;a<CR>b\n{b}\n0\n\n", either),
		inChunks("chunk extension of 100 KB", "7;"+strings.Repeat("a", 100_000)+"\n{b}\n0\n\n", refused),
		inChunks("chunk extensions of 100 KB in small chunks", strings.Repeat("1;"+strings.Repeat("a", 1000)+"\n \n",
			100)+"7\n{b}\n0\n\n", either.seeing("POST {path} "+strings.Repeat(" ", 100)+"{b}")),
		inChunks("chunk that is longer than its size", "3\n{b}\n0\n\n", refused),
		inChunks("chunk that ends in a bare LF", "7\n{b}<LF>0\n\n", refused),
		inChunks("chunk that does not end", "7\n{b}0\n\n", refused),
		inChunks("chunk that ends in LF CR", "7\n{b}<LF><CR>0\n\n", refused),
		inChunks("chunks without a last one", "7\n{b}\n<END>", refused.silent()),
		inChunks("last chunk of several zeros", "7\n{b}\n000\n\n", passed),
		inChunks("trailer", "7\n{b}\n0\nX-Late: 1\n\n", passed),
		inChunks("trailer that frames", "7\n{b}\n0\nContent-Length: 99\nTransfer-Encoding: chunked\n\n",
			either.without("Content-Length: 99")),
		inChunks("trailer that routes", "7\n{b}\n0\nHost: evil.test\nAuthorization: Bearer x\n\n",
			either.without("Host: evil.test", "Authorization: Bearer x")),
		inChunks("trailer with an invalid name", "7\n{b}\n0\nBad Name: 1\n\n", either),
		inChunks("trailer without a colon", "7\n{b}\n0\nX\n\n", refused),
		inChunks("trailer with a bare LF", "7\n{b}\n0<LF><LF>", either),
		inChunks("trailer of 256 KB", "7\n{b}\n0\nX-Late: "+strings.Repeat("a", 256<<10)+"\n\n", refused),
	})
}
