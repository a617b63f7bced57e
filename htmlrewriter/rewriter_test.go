package htmlrewriter

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// seen is what handlers see of a page that comes in pieces, text nodes whole, and its output without edits.
func seen(t testing.TB, handlers []Handler, charset string, pieces ...string) (log []string, output string) {
	t.Helper()
	r, err := New(handlers, charset)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for i, piece := range pieces {
		if err := r.Write([]byte(piece), i == len(pieces)-1); err != nil {
			t.Fatal(err)
		}
		list := r.Events()
		for j := range r.events {
			one := &r.events[j]
			raw := r.tokenizer.buffer[one.start:one.end]
			var line string
			switch list[0] {
			case eventStart:
				count := int(list[4])
				line = fmt.Sprintf("<%d %v %s", list[1], list[2:5+count], raw)
				list = list[5+count:]
			case eventEnd:
				count := int(list[2])
				line = fmt.Sprintf("/%v %s", list[1:3+count], raw)
				list = list[3+count:]
			case eventText:
				count := int(list[2])
				text += string(raw)
				if list[1] == 1 {
					line, text = fmt.Sprintf("text %v %s", list[3:3+count], text), ""
				}
				list = list[3+count:]
			default:
				count := int(list[1])
				line = fmt.Sprintf("%d %v %s", list[0], list[2:2+count], raw)
				list = list[2+count:]
			}
			if line != "" {
				log = append(log, line)
			}
		}
		if len(list) > 0 {
			t.Fatalf("%d numbers of events are left over", len(list))
		}
		out, _, err := r.Apply(nil, "")
		if err != nil {
			t.Fatal(err)
		}
		output += string(out)
	}
	return log, output
}

var everything = []Handler{
	{IsOfPage: true, Wants: wantsText | wantsComments | wantsDoctype},
	{Selector: "*", Wants: wantsElements | wantsText | wantsComments},
	{Selector: "p > b, div a[x]", Wants: wantsElements},
	{Selector: "p:nth-of-type(2n+1)", Wants: wantsText},
}

// checkSplit makes sure that handlers see the same wherever a page is cut, and that it comes out as it is.
func checkSplit(t testing.TB, page string, cuts ...int) {
	t.Helper()
	for _, handlers := range [][]Handler{everything, {{Selector: "b", Wants: wantsElements}}} {
		want, output := seen(t, handlers, "", page)
		if output != page {
			t.Fatalf("%q came out as %q", page, output)
		}
		var pieces []string
		from := 0
		for _, cut := range cuts {
			pieces = append(pieces, page[from:cut])
			from = cut
		}
		got, output := seen(t, handlers, "", append(pieces, page[from:])...)
		if output != page {
			t.Fatalf("%q cut at %v came out as %q", page, cuts, output)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q cut at %v:\n got %q\nwant %q", page, cuts, got, want)
		}
	}
}

var pages = []string{
	"", "text", "a < b &amp; c <", "<", "</", "</>", "<!", "<!-", "<!--", "<!-->", "<!--->", "<!---->", "<!--a--!>b-->", "<!-- a -- b --->c",
	"<!doctype html>", "<!DOCTYPE html PUBLIC \"a\" 'b'>x", "<!x>", "<?xml version='1'?>", "</ x>", "<![CDATA[x]]>",
	"<svg><![CDATA[<b>]]></b><a/><b/>x</svg><a/>", "<p a=b c='d>' e=\"f>g\" h = i j/>k</p >",
	"<p a=\"unfinished", "<p", "<p ", "<title>a<b></title>", "<title></titles></title >x", "<script>a<b></script>",
	"<script><!-- <script> </script> --> </script>x", "<script><!--></script>x", "<script><!-- <scripts></script>x",
	"<style>a</style", "<textarea></TEXTAREA>", "<plaintext></plaintext>", "<div><p>a<p>b</div>c</p>", "a\xe2\x82", "\xf0\x9f\x98\x80<b>\xff</b>",
	"<a<b>x</a<b>", "<p/a=1/>", "<x =y>", "<br/><img src=x>y</br>", "<math><mi><b>x</b></mi></math>",
}

func TestSplits(t *testing.T) {
	for _, page := range pages {
		for i := 0; i <= len(page); i++ {
			checkSplit(t, page, i)
		}
		all := make([]int, len(page))
		for i := range all {
			all[i] = i
		}
		checkSplit(t, page, all...)
	}
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"<", ">", "/", "!", "-", "--", "\"", "'", "=", " ", "a", "b", "p", "div", "script", "title", "svg", "<!--", "-->", "</", "\xe2\x82\xac", "]]>", "<![CDATA[", "é"}
	for range 20000 {
		page := ""
		for range random.IntN(14) {
			page += parts[random.IntN(len(parts))]
		}
		a, b := random.IntN(len(page)+1), random.IntN(len(page)+1)
		checkSplit(t, page, min(a, b), max(a, b))
	}
}

func FuzzSplits(f *testing.F) {
	for _, page := range pages {
		f.Add(page, uint16(3), uint16(5))
	}
	f.Fuzz(func(t *testing.T, page string, a, b uint16) {
		x, y := int(a)%(len(page)+1), int(b)%(len(page)+1)
		checkSplit(t, page, min(x, y), max(x, y))
	})
}

// TestMemoryIsBounded: what must be kept has a limit, everything else passes.
func TestMemoryIsBounded(t *testing.T) {
	for name, piece := range map[string]string{
		"attribute": strings.Repeat("a", 1000), "elements": strings.Repeat("<p>", 1000), "comment": "--",
	} {
		r, _ := New([]Handler{{IsOfPage: true, Wants: wantsComments}}, "")
		begin := map[string]string{"attribute": "<p a='", "comment": "<!-- "}[name]
		err := r.Write([]byte(begin), false)
		for written := 0; err == nil && written < 8*memoryMax; written += len(piece) {
			err = r.Write([]byte(piece), false)
			r.Apply(nil, "")
		}
		if err != errMemory {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Text, script and comments that nobody wants pass.
	for _, begin := range []string{"text", "<script>", "<script><!--", "<!--", "<title>", "<plaintext>", "<svg><![CDATA["} {
		r, _ := New([]Handler{{Selector: "b", Wants: wantsComments | wantsText}}, "")
		piece := []byte(strings.Repeat("<- ", 1000))
		if begin == "text" {
			piece = []byte(strings.Repeat("x ", 1000))
		}
		r.Write([]byte(begin), false)
		for range 5000 {
			if err := r.Write(piece, false); err != nil {
				t.Fatalf("%s: %v", begin, err)
			}
			r.Apply(nil, "")
		}
		if n := cap(r.tokenizer.buffer); n > 100000 {
			t.Errorf("%s: %d bytes are kept", begin, n)
		}
	}
}

func TestSelectors(t *testing.T) {
	page := `<html lang=en-us><body><div id=a class="x y" data-v="One"><p>1<p class=X>2</p><span>s</span><p>3<b>4</b></p></div>` +
		`<ul><li>1</li><li>2</li><li>3</li><li>4</li></ul><input TYPE=Text></body></html>`
	for selector, want := range map[string]string{
		"*": "html body div p p span p b ul li li li li input", "p": "p p p", "P": "p p p", "div > p": "p",
		"div p": "p p p", "p > b": "b", "div b": "b", "div > b": "", "#a": "div", ".x": "div", ".x.y": "div", ".X": "p",
		"[lang|=en]": "html", "[data-v=One]": "div", "[data-v=one]": "", "[data-v=one i]": "div", "[DATA-V]": "div",
		"[class~=y]": "div", "[class^=x]": "div", "[class$='y']": "div", `[class*=" "]`: "div", "[class^='']": "",
		"[type=text]": "input", "[type=text s]": "", "li:nth-child(2)": "li", "li:nth-child(2n+1)": "li li",
		"li:nth-child(odd)": "li li", "li:nth-child(-n+3)": "li li li", "li:first-child": "li", "li:nth-of-type(4)": "li",
		"p:first-of-type": "p p", "span:first-child": "", "li:not(:first-child)": "li li li", "*:not(p):not(li):not(b)": "html body div span ul input",
		"body > ul > li": "li li li li", "ul, b": "b ul", "html body div#a.x > p": "p", `#\61`: "div", "li:not(:nth-child(2), :nth-child(3))": "li li",
	} {
		r, err := New([]Handler{{Selector: selector, Wants: wantsElements}}, "")
		if err != nil {
			t.Errorf("%s: %v", selector, err)
			continue
		}
		if err := r.Write([]byte(page), true); err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := range r.events {
			if one := &r.events[i]; one.kind == tokenStartTag {
				got = append(got, lowerCase(string(r.tokenizer.buffer[one.start+1:one.nameEnd])))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s matches %q, not %q", selector, strings.Join(got, " "), want)
		}
	}
	for _, bad := range []string{
		"", " ", ",", "a,", "a >", "> a", "a + b", "a ~ b", "[", "[a", "[a=", "[a=1]", "[a!=b]", ".", "#", "a..b", ":hover", "a:not(", "a:not()",
		"a:nth-child(x)", "a:nth-child(2n 1)", "a|b", "1a", "a:not(b c)", "a::before", "@", "a[b='\n']", "a)",
	} {
		if _, err := parseSelectors(bad); err == nil && bad != "[a" && bad != "[a=" {
			t.Errorf("%q is taken for a selector", bad)
		}
	}
}

func FuzzSelectors(f *testing.F) {
	f.Add("div > p.x#y[a~='b' i]:not(.z):nth-child(2n+1), *")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := New([]Handler{{Selector: text, Wants: wantsElements}}, ""); err == nil {
			r.Write([]byte("<div class=x><p id=y a=b><b></b></div>"), true)
		}
	})
}

func TestCharsets(t *testing.T) {
	for label, page := range map[string]string{
		"windows-1252": "<p title=caf\xe9>\xe9</p>", "shift_jis": "<p title=\x83\x5c>\x83\x5c\x82\xa0</p>", "gbk": "<p>\xc4\xe3</p>",
	} {
		for i := range len(page) {
			_, output := seen(t, everything, label, page[:i], page[i:])
			if output != page {
				t.Errorf("%s cut at %d: %q", label, i, output)
			}
		}
	}
	for _, label := range []string{"utf-16", "iso-2022-jp", "replacement", "nonsense"} {
		if _, err := New(nil, label); err == nil {
			t.Errorf("%s is supported", label)
		}
	}
}

func TestDoctype(t *testing.T) {
	for raw, want := range map[string]string{
		"<!doctype html>": `["html",null,null]`, "<!DOCTYPE>": `[null,null,null]`, "<!DOCTYPE HTML PUBLIC '-//x' \"y\">": `["html","-//x","y"]`,
		"<!DOCTYPE a SYSTEM 'b' c>": `["a",null,"b"]`, "<!doctype a public>": `["a",null,null]`,
	} {
		got, _ := json.Marshal(doctypeOf(raw))
		if string(got) != want {
			t.Errorf("%s: %s", raw, got)
		}
	}
}

func BenchmarkRewrite(b *testing.B) {
	page, err := os.ReadFile(os.Getenv("NANO_BENCH_PAGE"))
	if err != nil {
		page = []byte("<html><head><title>Items</title></head><body>" + strings.Repeat(`<li class="item"><a href="/items/1" title="x">Item</a> <span>12.50</span> some text about it</li>`+"\n", 10000) + "</body></html>")
	}
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		r, _ := New([]Handler{{Selector: "a[href]", Wants: wantsElements}, {Selector: "title", Wants: wantsElements}}, "")
		for i := 0; i < len(page); i += 65536 {
			end := min(i+65536, len(page))
			r.Write(page[i:end], end == len(page))
			r.Apply(nil, "")
		}
	}
}

// TestHostileApps gives what would take a stack, memory or time without end.
func TestHostileApps(t *testing.T) {
	if err := selectorError(strings.Repeat(":not(", 1<<20)); err != errUnsupported {
		t.Errorf("a million negations in each other: %v", err)
	}
	if err := selectorError(strings.Repeat(":not(a)", 1000) + ":not(:not(b))"); err != nil {
		t.Errorf("a thousand negations after each other: %v", err)
	}
	for name, handlers := range map[string][]Handler{
		"long selector": {{Selector: strings.Repeat("a,", selectorBytesMax/2) + "a", Wants: wantsElements}},
		"many handlers": make([]Handler, handlersMax+1),
	} {
		if _, err := New(handlers, ""); err != errMemory {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := New(slices.Repeat([]Handler{{IsOfPage: true, Wants: wantsText}}, handlersMax), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Write([]byte(strings.Repeat("a<b>", 1000)), true); err != errMemory {
		t.Errorf("%d events for each of 2000 tokens: %v", handlersMax, err)
	}
}

func selectorError(text string) error {
	_, err := parseSelectors(text)
	return err
}

// TestManySections has as many CDATA sections after each other as would be a deep stack.
func TestManySections(t *testing.T) {
	page := "<svg>" + strings.Repeat("<![CDATA[]]>", 1<<20) + "</svg>"
	if _, output := seen(t, everything, "", page); output != page {
		t.Error("the sections came out as something else")
	}
}

// TestAttributeEdits changes attributes that a tag has several times, or many of.
func TestAttributeEdits(t *testing.T) {
	type edit struct {
		operation   int32
		name, value string
	}
	apply := func(page string, list ...edit) (string, error) {
		r, err := New([]Handler{{Selector: "a", Wants: wantsElements}}, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Write([]byte(page), true); err != nil {
			t.Fatal(err)
		}
		var edits []int32
		texts := ""
		for _, e := range list {
			edits = append(edits, 0, e.operation, int32(len(e.name)), int32(len(e.value)))
			texts += e.name + e.value
		}
		output, _, err := r.Apply(edits, texts)
		return string(output), err
	}
	const page = `<a x=1 Y=2 x=3>`
	for _, c := range []struct {
		want string
		list []edit
	}{
		{`<a x="5" Y=2 x=3>`, []edit{{editSetAttribute, "x", "4"}, {editSetAttribute, "x", "5"}}},
		{`<a Y=2 x=3>`, []edit{{editSetAttribute, "x", "4"}, {editRemoveAttribute, "x", ""}}},
		{`<a x="6" Y=2 x=3>`, []edit{{editRemoveAttribute, "x", ""}, {editSetAttribute, "x", "6"}}},
		{`<c x=1 Y="7" x=3 z="8">`, []edit{{editRename, "b", ""}, {editSetAttribute, "z", "8"}, {editSetAttribute, "y", "7"}, {editRename, "c", ""}}},
		{`<c x=1 Y=2 x=3>`, []edit{{editRename, "b", ""}, {editRename, "c", ""}}},
		{`<a x=1 Y=2 x=3>`, []edit{{editRemoveAttribute, "z", ""}}},
	} {
		if got, err := apply(page, c.list...); got != c.want || err != nil {
			t.Errorf("%v: %s, %v; want %s", c.list, got, err, c.want)
		}
	}
	var many strings.Builder
	many.WriteString("<a")
	for i := range 200_000 {
		fmt.Fprintf(&many, " x%d", i)
	}
	if got, err := apply(many.String()+">", edit{editSetAttribute, "new", "1"}); got != many.String()+` new="1">` || err != nil {
		t.Errorf("a tag with many attributes: %d bytes, %v", len(got), err)
	}
	var list []edit
	for i := range changesMax + 1 {
		list = append(list, edit{editSetAttribute, fmt.Sprint("x", i), ""})
	}
	if _, err := apply(page, list...); err != errMemory {
		t.Errorf("%d changes: %v", len(list), err)
	}
	if _, err := apply(page, edit{editContent, strings.Repeat("y", outputMax), ""}); err != errMemory {
		t.Errorf("a large text: %v", err)
	}
}

// TestNames looks names up again and again, in both cases, so many that the numbers found last do not hold them all.
func TestNames(t *testing.T) {
	r, err := New(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[string]int32{}
	for range 2 {
		for i := range 300 {
			for _, name := range []string{"x", "x\x00", fmt.Sprint("h", i), fmt.Sprintf("name%04d", i), fmt.Sprint("longer-name", i)} {
				number := r.nameOf([]byte(strings.ToUpper(name)))
				if known, isKnown := numbers[name]; isKnown && known != number {
					t.Fatalf("%q is %d and %d", name, known, number)
				}
				numbers[name] = number
				if again := r.nameOf([]byte(name)); again != number {
					t.Fatalf("%q is %d in upper case and %d in lower case", name, number, again)
				}
			}
		}
	}
	if len(r.names) != len(numbers) {
		t.Errorf("%d numbers for %d names", len(r.names), len(numbers))
	}
}
