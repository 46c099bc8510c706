package template

import (
	"errors"
	"fmt"
	"html"
	"strings"
	"text/template/parse"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// texts are the compiled texts of one locale.
type texts struct {
	title, body, html text
	data              map[string]text
}

func compile(w written, members map[string]bool) (texts, error) {
	out := texts{data: map[string]text{}}
	for into, from := range map[*text]string{&out.title: w.Title, &out.body: w.Body, &out.html: w.HTML} {
		var err error
		if *into, err = compileText(from, members); err != nil {
			return out, err
		}
	}
	for name, from := range w.Data {
		compiled, err := compileText(from, members)
		if err != nil {
			return out, fmt.Errorf("data %s: %w", name, err)
		}
		out.data[name] = compiled
	}
	return out, nil
}

// render also returns how many bytes there are.
func (t texts) render(members map[string]string) (channel.Message, int) {
	plain := func(s string) string { return s }
	m := channel.Message{Title: t.title.render(members, plain), Body: t.body.render(members, plain), HTML: t.html.render(members, html.EscapeString)}
	size := len(m.Title) + len(m.Body) + len(m.HTML)
	if len(t.data) > 0 {
		m.Data = make(map[string]string, len(t.data))
	}
	for name, value := range t.data {
		m.Data[name] = value.render(members, plain)
		size += len(name) + len(m.Data[name])
	}
	return m, size
}

// text is a sequence of pieces.
type text []piece

// piece is literal text, a member, or a condition on a member.
type piece struct {
	literal, member string
	isCondition     bool
	then, otherwise text
}

// compileText checks what the package comment promises.
func compileText(source string, members map[string]bool) (text, error) {
	trees, err := parse.Parse("text", source, "", "", map[string]any{})
	if err != nil {
		return nil, err
	}
	if len(trees) > 1 {
		return nil, errors.New("define and block are not supported")
	}
	tree, ok := trees["text"]
	if !ok { // an empty text has no tree
		return nil, nil
	}
	left := maxNodes
	return pieces(tree.Root, members, &left)
}

func pieces(list *parse.ListNode, members map[string]bool, left *int) (text, error) {
	if list == nil {
		return nil, nil
	}
	var out text
	for _, node := range list.Nodes {
		if *left--; *left < 0 {
			return nil, fmt.Errorf("more than %d parts", maxNodes)
		}
		p, err := pieceOf(node, members, left)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func pieceOf(node parse.Node, members map[string]bool, left *int) (piece, error) {
	switch n := node.(type) {
	case *parse.TextNode:
		return piece{literal: string(n.Text)}, nil
	case *parse.CommentNode:
		return piece{}, nil
	case *parse.ActionNode:
		member, err := memberOf(n.Pipe, members)
		return piece{member: member}, err
	case *parse.IfNode:
		member, err := memberOf(n.Pipe, members)
		if err != nil {
			return piece{}, err
		}
		p := piece{member: member, isCondition: true}
		if p.then, err = pieces(n.List, members, left); err != nil {
			return p, err
		}
		p.otherwise, err = pieces(n.ElseList, members, left)
		return p, err
	}
	return piece{}, fmt.Errorf("%s: only members and {{if .member}} are supported", node)
}

// memberOf is the one member that a pipeline consists of.
func memberOf(pipe *parse.PipeNode, members map[string]bool) (string, error) {
	if len(pipe.Decl) == 0 && len(pipe.Cmds) == 1 && len(pipe.Cmds[0].Args) == 1 {
		if field, ok := pipe.Cmds[0].Args[0].(*parse.FieldNode); ok && len(field.Ident) == 1 {
			if !members[field.Ident[0]] {
				return "", fmt.Errorf("{{.%s}}: the member is not declared under members", field.Ident[0])
			}
			return field.Ident[0], nil
		}
	}
	return "", fmt.Errorf("{{%s}}: only a member, such as {{.name}}, is supported", pipe)
}

func (t text) render(members map[string]string, escape func(string) string) string {
	var b strings.Builder
	t.write(&b, members, escape)
	return b.String()
}

func (t text) write(b *strings.Builder, members map[string]string, escape func(string) string) {
	for _, p := range t {
		switch {
		case b.Len() > channel.MaxMessage: // Render refuses it
			return
		case !p.isCondition && p.member == "":
			b.WriteString(p.literal)
		case !p.isCondition:
			b.WriteString(escape(members[p.member]))
		case members[p.member] != "":
			p.then.write(b, members, escape)
		default:
			p.otherwise.write(b, members, escape)
		}
	}
}
