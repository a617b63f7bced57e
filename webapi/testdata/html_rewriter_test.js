// HTMLRewriter. What is expected of the pages below was recorded from workerd, whose HTMLRewriter is the model, but
// where the comments say otherwise.
import { equal, rejects, shape, suite, throws } from "./check.js";

const HTML = { html: true };

const pages = {
  basic: "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>two</b> three</p><br><img src=x></div><!-- c --></body></html>",
  attrs: "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>x</p><img x=y/><br/><input disabled>",
  nested: "<div><div><div>x</div></div></div>",
  svg: "<svg><circle/><g/><title>t</title><a/>x</svg><math><mi>a</mi></math>",
  comments: "<!----><!-- a --><!x><?pi?><!--a--!>t",
  doctype: "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD\" 'sys'>x",
  upper: "<DIV ID=q><P>x</P></DIV>",
  stray: "</p>a</div></>b",
  text: "a<b>b</b>c<!--x-->d",
  entities: "<p title='a&lt;b'>a &amp; b &lt; c</p>",
  unclosed: "<div><p>a<p>b<span>c</div>d<p>e",
};

// What handlers do, by name.
const rewriters = {
  around: () => new HTMLRewriter().on("p, b, div, span, img, br, title", {
    element(e) {
      e.before("[b1]").before("<b2>").after("[a1]").after("<a2>", HTML);
      e.prepend("[p1]").prepend("<p2>", HTML).append("[x1]").append("<x2>", HTML);
    },
  }),
  remove: () => new HTMLRewriter().on("p, span", {
    element(e) { e.before("B").after("A").append("x").prepend("y").remove(); },
  }),
  removeInner: () => new HTMLRewriter()
    .on("div", { element(e) { e.remove(); } })
    .on("p", { element(e) { e.before("B").after("A").append("x").setAttribute("z", "1"); } })
    .on("b", { element(e) { e.replace("R"); } }),
  keep: () => new HTMLRewriter().on("div, b, br", {
    element(e) { e.removeAndKeepContent().before("1").after("2").prepend("3").append("4"); },
  }),
  inner: () => new HTMLRewriter().on("div, p, title, br, script", {
    element(e) { e.prepend("gone").append("gone2").setInnerContent("<i>", HTML).prepend("p").append("a"); },
  }),
  replace: () => new HTMLRewriter().on("p, img, b", {
    element(e) { e.before("B").after("A").replace("<r>", HTML).replace("<r2>").append("x"); },
  }),
  attr: () => new HTMLRewriter().on("*", {
    element(e) {
      e.setAttribute("A", "new\"&<").removeAttribute("B").setAttribute("zed", "").setAttribute("zed", "z2");
      if (e.hasAttribute("c")) e.setAttribute("had", e.getAttribute("C"));
    },
  }),
  rename: () => new HTMLRewriter().on("p, div, br", { element(e) { e.tagName = "NEW"; e.append(e.tagName); } }),
  endtag: () => new HTMLRewriter().on("p, span, div", {
    element(e) {
      e.after("A").append("P");
      e.onEndTag(() => { throw new Error("the last one counts"); });
      e.onEndTag((t) => { t.before("(2)"); });
    },
  }),
  endrm: () => new HTMLRewriter().on("p, div", { element(e) { e.onEndTag((t) => { t.remove().after("rm"); }); } }),
  endname: () => new HTMLRewriter().on("p, div", { element(e) { e.onEndTag((t) => { t.name = "x" + t.name; }); } }),
  text: () => new HTMLRewriter().on("p, div, title, script", {
    text(t) { if (t.text) t.before("<").after(">").after("2", HTML); else t.after("|"); },
  }),
  textreplace: () => new HTMLRewriter().onDocument({ text(t) { if (!t.lastInTextNode) t.replace(t.text.toUpperCase()); } }),
  textrm: () => new HTMLRewriter().on("b", { text(t) { t.remove().before("x"); } }),
  comment: () => new HTMLRewriter().onDocument({ comments(c) { c.text += "!"; c.before("B").after("A"); } }),
  commentrm: () => new HTMLRewriter().onDocument({ comments(c) { c.replace("<c>", HTML); } }),
  docend: () => new HTMLRewriter().onDocument({ end(e) { e.append("<x>").append("<y>", HTML); } })
    .onDocument({ end(e) { e.append("2"); } }),
  nth: (log) => new HTMLRewriter().on("p:nth-child(1)", { element() { log.push("n1"); } })
    .on("body > div p > b", { element() { log.push("c"); } }).on("[class~=x]", { element() { log.push("cl"); } })
    .on("p:not(.x)", { element() { log.push("not"); } }).on("div div", { element() { log.push("dd"); } }),
  multi: () => new HTMLRewriter().on("p", { element(e) { e.append("1").prepend("1").before("1").after("1"); } })
    .on("p", { element(e) { e.append("2").prepend("2").before("2").after("2"); } }),
  closed: (log) => new HTMLRewriter().on("div, p", {
    element(e) { e.remove().onEndTag(() => { log.push("end called"); }); },
  }),
};

// Rewriter, page, output, what was logged.
const expected = [
  ["around", "basic", "<!doctype html><html><head>[b1]&lt;b2&gt;<title><p2>[p1]T[x1]<x2></title><a2>[a1]</head><body>[b1]&lt;b2&gt;<div id=a class='x y'><p2>[p1][b1]&lt;b2&gt;<p><p2>[p1]one [b1]&lt;b2&gt;<b><p2>[p1]two[x1]<x2></b><a2>[a1] three[x1]<x2></p><a2>[a1][b1]&lt;b2&gt;<br><a2>[a1][b1]&lt;b2&gt;<img src=x><a2>[a1][x1]<x2></div><a2>[a1]<!-- c --></body></html>"],
  ["around", "attrs", "[b1]&lt;b2&gt;<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'><p2>[p1]x[x1]<x2></p><a2>[a1][b1]&lt;b2&gt;<img x=y/><a2>[a1][b1]&lt;b2&gt;<br/><a2>[a1]<input disabled>"],
  ["around", "unclosed", "[b1]&lt;b2&gt;<div><p2>[p1][b1]&lt;b2&gt;<p><p2>[p1]a[b1]&lt;b2&gt;<p><p2>[p1]b[b1]&lt;b2&gt;<span><p2>[p1]c[x1]<x2></div><a2>[a1]d[b1]&lt;b2&gt;<p><p2>[p1]e"],
  ["around", "nested", "[b1]&lt;b2&gt;<div><p2>[p1][b1]&lt;b2&gt;<div><p2>[p1][b1]&lt;b2&gt;<div><p2>[p1]x[x1]<x2></div><a2>[a1][x1]<x2></div><a2>[a1][x1]<x2></div><a2>[a1]"],
  ["around", "svg", "<svg><circle/><g/>[b1]&lt;b2&gt;<title><p2>[p1]t[x1]<x2></title><a2>[a1]<a/>x</svg><math><mi>a</mi></math>"],
  ["around", "upper", "[b1]&lt;b2&gt;<DIV ID=q><p2>[p1][b1]&lt;b2&gt;<P><p2>[p1]x[x1]<x2></P><a2>[a1][x1]<x2></DIV><a2>[a1]"],
  ["remove", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'>BA<br><img src=x></div><!-- c --></body></html>"],
  ["remove", "attrs", "BA<img x=y/><br/><input disabled>"],
  ["remove", "upper", "<DIV ID=q>BA</DIV>"],
  ["remove", "entities", "BA"],
  ["removeInner", "attrs", "B<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"' z=\"1\">xx</p>A<img x=y/><br/><input disabled>"],
  ["removeInner", "basic", "<!doctype html><html><head><title>T</title></head><body><!-- c --></body></html>"],
  ["removeInner", "entities", "B<p title='a&lt;b' z=\"1\">a &amp; b &lt; cx</p>A"],
  ["removeInner", "unclosed", "dB<p z=\"1\">e"],
  ["removeInner", "text", "aRc<!--x-->d"],
  ["removeInner", "nested", ""],
  ["keep", "basic", "<!doctype html><html><head><title>T</title></head><body>13<p>one 13two42 three</p>12<img src=x>42<!-- c --></body></html>"],
  ["keep", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>x</p><img x=y/>12<input disabled>"],
  ["keep", "unclosed", "13<p>a<p>b<span>c42d<p>e"],
  ["keep", "text", "a13b42c<!--x-->d"],
  ["keep", "nested", "131313x424242"],
  ["keep", "upper", "13<P>x</P>42"],
  ["inner", "basic", "<!doctype html><html><head><title>p<i>a</title></head><body><div id=a class='x y'>p<i>a</div><!-- c --></body></html>"],
  ["inner", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>p<i>a</p><img x=y/><br/><input disabled>"],
  ["inner", "svg", "<svg><circle/><g/><title>p<i>a</title><a/>x</svg><math><mi>a</mi></math>"],
  ["inner", "entities", "<p title='a&lt;b'>p<i>a</p>"],
  ["inner", "unclosed", "<div>p<i>a</div>d<p>p<i>"],
  ["inner", "upper", "<DIV ID=q>p<i>a</DIV>"],
  ["replace", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'>B&lt;r2&gt;xA<br>B&lt;r2&gt;A</div><!-- c --></body></html>"],
  ["replace", "attrs", "B&lt;r2&gt;xAB&lt;r2&gt;A<br/><input disabled>"],
  ["replace", "upper", "<DIV ID=q>B&lt;r2&gt;xA</DIV>"],
  ["replace", "text", "aB&lt;r2&gt;xAc<!--x-->d"],
  ["replace", "entities", "B&lt;r2&gt;xA"],
  ["attr", "basic", "<!doctype html><html a=\"new&quot;&<\" zed=\"z2\"><head a=\"new&quot;&<\" zed=\"z2\"><title a=\"new&quot;&<\" zed=\"z2\">T</title></head><body a=\"new&quot;&<\" zed=\"z2\"><div id=a class='x y' a=\"new&quot;&<\" zed=\"z2\"><p a=\"new&quot;&<\" zed=\"z2\">one <b a=\"new&quot;&<\" zed=\"z2\">two</b> three</p><br a=\"new&quot;&<\" zed=\"z2\"><img src=x a=\"new&quot;&<\" zed=\"z2\"></div><!-- c --></body></html>"],
  ["attr", "svg", "<svg a=\"new&quot;&<\" zed=\"z2\"><circle a=\"new&quot;&<\" zed=\"z2\" /><g a=\"new&quot;&<\" zed=\"z2\" /><title a=\"new&quot;&<\" zed=\"z2\">t</title><a a=\"new&quot;&<\" zed=\"z2\" />x</svg><math a=\"new&quot;&<\" zed=\"z2\"><mi a=\"new&quot;&<\" zed=\"z2\">a</mi></math>"],
  ["attr", "attrs", "<p A=\"new&quot;&<\" c=\"3\" d e = 5 f=&amp; g='\"' zed=\"z2\" had=\"3\">x</p><img x=y/ a=\"new&quot;&<\" zed=\"z2\"><br a=\"new&quot;&<\" zed=\"z2\" /><input disabled a=\"new&quot;&<\" zed=\"z2\">"],
  ["attr", "unclosed", "<div a=\"new&quot;&<\" zed=\"z2\"><p a=\"new&quot;&<\" zed=\"z2\">a<p a=\"new&quot;&<\" zed=\"z2\">b<span a=\"new&quot;&<\" zed=\"z2\">c</div>d<p a=\"new&quot;&<\" zed=\"z2\">e"],
  ["attr", "nested", "<div a=\"new&quot;&<\" zed=\"z2\"><div a=\"new&quot;&<\" zed=\"z2\"><div a=\"new&quot;&<\" zed=\"z2\">x</div></div></div>"],
  ["attr", "upper", "<DIV ID=q a=\"new&quot;&<\" zed=\"z2\"><P a=\"new&quot;&<\" zed=\"z2\">x</P></DIV>"],
  ["rename", "basic", "<!doctype html><html><head><title>T</title></head><body><NEW id=a class='x y'><NEW>one <b>two</b> threenew</NEW><NEW><img src=x>new</NEW><!-- c --></body></html>"],
  ["rename", "attrs", "<NEW A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>xnew</NEW><img x=y/><NEW/><input disabled>"],
  ["rename", "entities", "<NEW title='a&lt;b'>a &amp; b &lt; cnew</NEW>"],
  ["rename", "nested", "<NEW><NEW><NEW>xnew</NEW>new</NEW>new</NEW>"],
  ["rename", "unclosed", "<NEW><NEW>a<NEW>b<span>cnew</NEW>d<NEW>e"],
  ["rename", "upper", "<NEW ID=q><NEW>xnew</NEW>new</NEW>"],
  ["endtag", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>two</b> threeP(2)</p>A<br><img src=x>P(2)</div>A<!-- c --></body></html>"],
  ["endtag", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>xP(2)</p>A<img x=y/><br/><input disabled>"],
  ["endtag", "nested", "<div><div><div>xP(2)</div>AP(2)</div>AP(2)</div>A"],
  ["endtag", "entities", "<p title='a&lt;b'>a &amp; b &lt; cP(2)</p>A"],
  ["endtag", "upper", "<DIV ID=q><P>xP(2)</P>AP(2)</DIV>A"],
  ["endrm", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>two</b> threerm<br><img src=x>rm<!-- c --></body></html>"],
  ["endrm", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>xrm<img x=y/><br/><input disabled>"],
  ["endrm", "entities", "<p title='a&lt;b'>a &amp; b &lt; crm"],
  ["endrm", "unclosed", "<div><p>a<p>b<span>crmrmrmd<p>e"],
  ["endrm", "nested", "<div><div><div>xrmrmrm"],
  ["endrm", "upper", "<DIV ID=q><P>xrmrm"],
  ["endname", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>two</b> three</xp><br><img src=x></xdiv><!-- c --></body></html>"],
  ["endname", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>x</xp><img x=y/><br/><input disabled>"],
  ["endname", "entities", "<p title='a&lt;b'>a &amp; b &lt; c</xp>"],
  ["endname", "nested", "<div><div><div>x</xdiv></xdiv></xdiv>"],
  ["endname", "unclosed", "<div><p>a<p>b<span>c</xxxdiv>d<p>e"],
  ["endname", "upper", "<DIV ID=q><P>x</xp></xdiv>"],
  ["text", "basic", "<!doctype html><html><head><title>&lt;T2&gt;|</title></head><body><div id=a class='x y'><p>&lt;one 2&gt;|<b>&lt;two2&gt;|</b>&lt; three2&gt;|</p><br><img src=x></div><!-- c --></body></html>"],
  ["text", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>&lt;x2&gt;|</p><img x=y/><br/><input disabled>"],
  ["text", "svg", "<svg><circle/><g/><title>&lt;t2&gt;|</title><a/>x</svg><math><mi>a</mi></math>"],
  ["text", "unclosed", "<div><p>&lt;a2&gt;|<p>&lt;b2&gt;|<span>&lt;c2&gt;|</div>d<p>&lt;e2&gt;|"],
  ["text", "entities", "<p title='a&lt;b'>&lt;a &amp; b &lt; c2&gt;|</p>"],
  ["text", "nested", "<div><div><div>&lt;x2&gt;|</div></div></div>"],
  ["textreplace", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>ONE <b>TWO</b> THREE</p><br><img src=x></div><!-- c --></body></html>"],
  ["textreplace", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>X</p><img x=y/><br/><input disabled>"],
  ["textreplace", "svg", "<svg><circle/><g/><title>T</title><a/>X</svg><math><mi>A</mi></math>"],
  ["textreplace", "entities", "<p title='a&lt;b'>A &amp;AMP; B &amp;LT; C</p>"],
  ["textreplace", "doctype", "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD\" 'sys'>X"],
  ["textreplace", "comments", "<!----><!-- a --><!x><?pi?><!--a--!>T"],
  ["textrm", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>xx</b> three</p><br><img src=x></div><!-- c --></body></html>"],
  ["textrm", "text", "a<b>xx</b>c<!--x-->d"],
  ["comment", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>two</b> three</p><br><img src=x></div>B<!-- c !-->A</body></html>"],
  ["comment", "comments", "B<!--!-->AB<!-- a !-->AB<!--x!-->AB<!--?pi?!-->AB<!--a!-->At"],
  ["comment", "text", "a<b>b</b>cB<!--x!-->Ad"],
  ["commentrm", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>two</b> three</p><br><img src=x></div><c></body></html>"],
  ["commentrm", "comments", "<c><c><c><c><c>t"],
  ["commentrm", "text", "a<b>b</b>c<c>d"],
  ["docend", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>two</b> three</p><br><img src=x></div><!-- c --></body></html>2&lt;x&gt;<y>"],
  ["docend", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>x</p><img x=y/><br/><input disabled>2&lt;x&gt;<y>"],
  ["docend", "svg", "<svg><circle/><g/><title>t</title><a/>x</svg><math><mi>a</mi></math>2&lt;x&gt;<y>"],
  ["docend", "doctype", "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD\" 'sys'>x2&lt;x&gt;<y>"],
  ["docend", "entities", "<p title='a&lt;b'>a &amp; b &lt; c</p>2&lt;x&gt;<y>"],
  ["docend", "comments", "<!----><!-- a --><!x><?pi?><!--a--!>t2&lt;x&gt;<y>"],
  ["nth", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'><p>one <b>two</b> three</p><br><img src=x></div><!-- c --></body></html>", "cl", "n1", "not", "c"],
  ["nth", "attrs", "<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>x</p><img x=y/><br/><input disabled>", "n1", "not"],
  ["nth", "unclosed", "<div><p>a<p>b<span>c</div>d<p>e", "n1", "not", "n1", "not", "not"],
  ["nth", "entities", "<p title='a&lt;b'>a &amp; b &lt; c</p>", "n1", "not"],
  ["nth", "nested", "<div><div><div>x</div></div></div>", "dd", "dd"],
  ["nth", "upper", "<DIV ID=q><P>x</P></DIV>", "n1", "not"],
  ["multi", "basic", "<!doctype html><html><head><title>T</title></head><body><div id=a class='x y'>12<p>21one <b>two</b> three12</p>21<br><img src=x></div><!-- c --></body></html>"],
  ["multi", "attrs", "12<p A=1 b='2' c=\"3\" d e = 5 f=&amp; g='\"'>21x12</p>21<img x=y/><br/><input disabled>"],
  ["multi", "unclosed", "<div>12<p>21a12<p>21b<span>c12</div>21d12<p>21e"],
  ["multi", "entities", "12<p title='a&lt;b'>21a &amp; b &lt; c12</p>21"],
  ["multi", "upper", "<DIV ID=q>12<P>21x12</P>21</DIV>"],
  ["closed", "basic", "<!doctype html><html><head><title>T</title></head><body><!-- c --></body></html>", "end called", "end called"],
  ["closed", "attrs", "<img x=y/><br/><input disabled>", "end called"],
  ["closed", "unclosed", "d", "end called", "end called", "end called"],
  ["closed", "nested", "", "end called", "end called", "end called"],
  ["closed", "upper", "", "end called", "end called"],
  ["closed", "entities", "", "end called"],
];

const rewrite = (rewriter, page) => rewriter.transform(new Response(page)).text();

function piecesOf(text, size) {
  const bytes = new TextEncoder().encode(text);
  return new ReadableStream({
    start(controller) {
      for (let i = 0; i < bytes.length; i += size) controller.enqueue(bytes.slice(i, i + size));
      controller.close();
    },
  });
}

export default suite({
  "shapes"() {
    shape(HTMLRewriter, 0, { on: 2, onDocument: 1, transform: 1 }, []);
    equal(new HTMLRewriter().on("a", {}) instanceof HTMLRewriter, true);
  },

  async "as in workerd"() {
    for (const [name, page, output, ...logged] of expected) {
      const log = [];
      equal(await rewrite(rewriters[name](log), pages[page]), output, `${name} of ${page}`);
      equal(log, logged, `${name} of ${page}`);
    }
  },

  async "the same whatever the pieces are"() {
    for (const [name, page, output] of expected) {
      if (name.startsWith("text")) continue; // chunks of text are as the page comes
      for (const size of [1, 3, 7]) {
        equal(await rewrite(rewriters[name]([]), piecesOf(pages[page], size)), output, `${name} of ${page}, by ${size}`);
      }
    }
  },

  async "what handlers see"() {
    const log = [];
    const output = await rewrite(new HTMLRewriter().on("*", {
      element(e) {
        log.push(e.tagName, e.namespaceURI.slice(-4), JSON.stringify([...e.attributes]));
        if (e.tagName !== "br" && e.tagName !== "g") e.onEndTag((t) => { log.push("/" + t.name); });
      },
      text(t) { log.push(t.text + t.lastInTextNode); },
      comments(c) { log.push("<!" + c.text); },
    }).onDocument({
      doctype(d) { log.push(d.name, d.publicId, d.systemId); },
      comments(c) { log.push("of the document " + c.text); },
      end() { log.push("end"); },
    }), "<!DOCTYPE html SYSTEM 'x'><A b=1 C='&amp;' d><!-- c -->t&lt;\u20ac<br></A><svg><g/></svg><!>");
    equal(output.startsWith("<!DOCTYPE html SYSTEM 'x'><A b=1"), true);
    equal(log.slice(0, 12), ["html", null, "x", "a", "html", '[["b","1"],["c","&amp;"],["d",""]]', "<! c ",
      "of the document  c ", "t&lt;\u20acfalse", "true", "br", "html"]);
    equal(log.slice(-2), ["of the document ", "end"]);
  },

  async "asynchronous handlers"() {
    const log = [];
    const later = (word) => new Promise((resolve) => setTimeout(() => { log.push(word); resolve(); }, 1));
    const output = await rewrite(new HTMLRewriter().on("b", {
      async element(e) {
        await later("element");
        e.append("1").onEndTag(async (t) => { await later("end tag"); t.before("2"); });
      },
      async text(t) { await later("text"); if (t.lastInTextNode) t.after("t"); },
      async comments(c) { await later("comment"); c.text = "c"; },
    }).on("i", { element(e) { log.push("i"); } }).onDocument({ async end(e) { await later("end"); e.append("3"); } }),
    "<b>x<!--y--></b><i>");
    equal(output, "<b>xt<!--c-->12</b><i>3");
    equal(log, ["element", "text", "text", "comment", "end tag", "i", "end"]);
  },

  async "streams and responses as content"() {
    const stream = (text) => piecesOf(text, 2);
    equal(await rewrite(new HTMLRewriter().on("p", {
      element(e) {
        e.before(stream("<i>\u20ac"), HTML).append(stream("<&\u20ac>")).prepend(new Response("<hr>"), HTML).after("z");
      },
    }), "a<p>b</p>c"), "a<i>\u20ac<p><hr>b&lt;&amp;\u20ac&gt;</p>zc");
  },

  async "other character encodings"() {
    const rewriter = new HTMLRewriter().on("p", {
      element(e) { e.setAttribute("u", "\u20ac\u3042" + e.getAttribute("t")).append("\u20ac"); },
      text(t) { if (t.text === "\u00e9") t.after("\u00e9"); },
    });
    const response = rewriter.transform(new Response(Uint8Array.of(0x3c, 0x70, 0x20, 0x74, 0x3d, 0xe9, 0x3e, 0xe9), {
      headers: { "content-type": "text/html; charset=\"Latin1\"", "content-length": "8", "x-y": "z" }, status: 203,
    }));
    equal([response.status, response.headers.get("content-length"), response.headers.get("x-y")], [203, null, "z"]);
    const text = new TextDecoder("latin1").decode(await response.arrayBuffer());
    equal(text, '<p t=\u00e9 u="\u20ac&#12354;\u00e9">\u00e9\u00e9');
    for (const charset of ["utf-16", "nonsense", "iso-2022-jp"]) {
      throws(TypeError, () => rewriter.transform(new Response("", { headers: { "content-type": `a/b;charset=${charset}` } })));
    }
  },

  async "errors"() {
    for (const selector of ["", "a:hover", "a + b", "a[", "a b >", "::before", "a|b"]) {
      throws(TypeError, () => new HTMLRewriter().on(selector, {}), "Parser error");
    }
    for (const handlers of [undefined, null, 1, "x", { element: 1 }, { text: {} }]) {
      throws(TypeError, () => new HTMLRewriter().on("a", handlers));
    }
    throws(TypeError, () => new HTMLRewriter().on("a"));
    throws(TypeError, () => new HTMLRewriter().transform("x"));
    throws(TypeError, () => HTMLRewriter.prototype.on.call({}, "a", {}), "Illegal invocation");
    const fails = (type, change, text = "") => rejects(type,
      () => rewrite(new HTMLRewriter().on("p", { element: change }).onDocument({ comments: change }), "x<p><!-- -->"), text);
    await fails(RangeError, () => { throw new RangeError("boom"); }, "boom");
    await fails(RangeError, async () => { throw new RangeError("boom"); }, "boom");
    await fails(TypeError, (e) => { e.tagName = ""; });
    await fails(TypeError, (e) => { e.tagName = "1a"; });
    await fails(TypeError, (e) => { e.tagName = "a b"; });
    await fails(TypeError, (e) => { e.setAttribute("a=b", ""); });
    await fails(TypeError, (e) => { e.setAttribute("a"); });
    await fails(TypeError, (e) => { if ("text" in e) e.text = "a-->b"; });
    await fails(TypeError, (e) => { e.before(Symbol()); });
    await rejects(TypeError, () => rewrite(new HTMLRewriter().on("br", { element(e) { e.onEndTag(() => {}); } }), "<br>"));
    let kept;
    await rewrite(new HTMLRewriter().on("p", { element(e) { kept = e; } }), "<p a=1>");
    throws(TypeError, () => kept.getAttribute("a"), "no longer valid");
    throws(TypeError, () => kept.remove(), "no longer valid");
    throws(TypeError, () => new kept.constructor(), "Illegal constructor");
    const used = new Response("<p>");
    await used.text();
    throws(TypeError, () => new HTMLRewriter().transform(used));
    const broken = new ReadableStream({ pull() { throw new RangeError("source"); } });
    await rejects(RangeError, () => rewrite(new HTMLRewriter(), broken), "source");
    let cancelled;
    const endless = new ReadableStream({
      pull(controller) { controller.enqueue(new TextEncoder().encode("<p>")); }, cancel(reason) { cancelled = reason; },
    });
    const reader = new HTMLRewriter().transform(new Response(endless)).body.getReader();
    await reader.read();
    await reader.cancel("enough");
    equal(cancelled, "enough");
  },

  async "bodies"() {
    const empty = new HTMLRewriter().transform(new Response(null, { status: 204 }));
    equal([empty.body, empty.status], [null, 204]);
    equal(await rewrite(new HTMLRewriter(), "a<b>\ufffd\u20ac</b"), "a<b>\ufffd\u20ac</b");
    const bytes = Uint8Array.of(0xff, 0x3c, 0x62, 0x3e, 0xe2, 0x82, 0x3c, 0xc0);
    const rewriter = new HTMLRewriter().on("*", { element() {}, text(t) { t.text; } });
    equal([...new Uint8Array(await rewriter.transform(new Response(bytes)).arrayBuffer())], [...bytes]);
    const long = "<div a='b'>text \u20ac</div>\n".repeat(20000);
    let count = 0;
    const counted = await rewrite(new HTMLRewriter().on("div", { element(e) { count++; e.setAttribute("n", count); } }), long);
    equal([count, counted.length > long.length, counted.includes("<div a='b' n=\"20000\">text \u20ac</div>")], [20000, true, true]);
  },
});
