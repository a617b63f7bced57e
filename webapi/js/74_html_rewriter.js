// HTMLRewriter, as in Workers (https://developers.cloudflare.com/workers/runtime-apis/html-rewriter/).
//
// The Go package htmlrewriter splits the page into tokens and matches selectors; this calls handlers for the tokens
// that they want to see, one after the other, and gives their edits back. A piece of the page that no handler wants
// to see anything of passes with one call and becomes no string.
(function (ops, internals) {
  "use strict";
  const {
    IteratorPrototype, JSONStringify, List, ObjectDefineProperty,
    ObjectSetPrototypeOf, PromiseWithResolvers, ReflectApply, SafeMap, StringPrototypeCharCodeAt,
    StringPrototypeIncludes, StringPrototypeIndexOf, StringPrototypeSlice, StringPrototypeToLowerCase,
    SymbolIterator, TypeError, TypedArrayConstructors, TypedArrayPrototypeGetBuffer,
    TypedArrayPrototypeGetByteLength, TypedArrayPrototypeGetByteOffset,
    TypedArrayPrototypeGetSymbolToStringTag, TypedArrayPrototypeSet, Uint8Array,
  } = internals.primordials;
  const { Int32Array } = TypedArrayConstructors;
  const { configureInterface, webidl } = internals;
  const { htmlApply, htmlCheckSelector, htmlGet, htmlRewriter, htmlWrite } = internals.host;
  internals.load("53_streams");
  const { acquireReader, cancelReader, createPull, isReadableStream, read } = internals.streams;
  const { describeResponse, responseStream, responseWith } = internals;

  // ---- What package htmlrewriter shares ----

  const WANTS_ELEMENTS = 1, WANTS_TEXT = 2, WANTS_COMMENTS = 4, WANTS_DOCTYPE = 8;
  const EVENT_START = 1, EVENT_END = 2, EVENT_TEXT = 3, EVENT_COMMENT = 4;
  const EDIT_CONTENT = 1, EDIT_TEXT = 2, EDIT_HOLE = 3, EDIT_TOKEN = 4, EDIT_REMOVE = 5, EDIT_REMOVE_CONTENT = 6,
    EDIT_SET_ATTRIBUTE = 7, EDIT_REMOVE_ATTRIBUTE = 8, EDIT_RENAME = 9, EDIT_COMMENT = 10;
  const EDIT_WORDS = 4;
  const GET_TAG_NAME = 0, GET_ATTRIBUTES = 1, GET_ATTRIBUTE = 2, GET_TEXT = 3, GET_COMMENT = 4, GET_DOCTYPE = 5;
  const NAMESPACES = [
    "http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML",
  ];
  // Go handles so much at once.
  const PIECE_BYTES = 64 << 10;
  // What handlers put in while one piece passes, in UTF-16 units: Go holds it several times outside of the heap.
  const TEXTS_MAX = 16 << 20;

  // ---- Edits of a piece ----

  class Edits {
    words = new Int32Array(64 * EDIT_WORDS);
    length = 0;
    texts = "";
    holes = null; // List of { stream, isHTML }

    add(index, operation, first, second) {
      if (this.length === this.words.length) {
        const grown = new Int32Array(2 * this.length);
        TypedArrayPrototypeSet(grown, this.words);
        this.words = grown;
      }
      if (this.texts.length + first.length + second.length > TEXTS_MAX) {
        throw new TypeError("Parser error: The memory limit has been exceeded.");
      }
      const { words, length } = this;
      words[length] = index;
      words[length + 1] = operation;
      words[length + 2] = first.length;
      words[length + 3] = second.length;
      if (first !== "") this.texts += first;
      if (second !== "") this.texts += second;
      this.length = length + EDIT_WORDS;
    }

    addContent(index, content) {
      for (let item = content.first; item !== null; item = item.next) {
        if (typeof item.value === "string") {
          this.add(index, item.isHTML ? EDIT_CONTENT : EDIT_TEXT, item.value, "");
          continue;
        }
        this.holes ??= new List();
        this.add(index, EDIT_HOLE, "", "");
        this.words[this.length - 2] = this.holes.length;
        this.holes[this.holes.length] = item;
      }
    }
  }

  // A linked list of strings and streams to be put in.
  class Content {
    first = null;
    last = null;
    append(value, isHTML) {
      const item = { value, isHTML, next: null };
      if (this.last === null) this.first = item;
      else this.last.next = item;
      this.last = item;
    }
    appendAll(content) {
      for (let item = content.first; item !== null; item = item.next) this.append(item.value, item.isHTML);
    }
    prepend(value, isHTML) {
      this.first = { value, isHTML, next: this.first };
      if (this.last === null) this.last = this.first;
    }
    clear() {
      this.first = this.last = null;
    }
  }

  // What handlers do to a token.
  class Changes {
    before = new Content();
    after = new Content();
    removed = false;
    contentRemoved = false;
    attributes = null; // { name, value: string or null, next }, a linked list
    lastAttribute = null;
    name = null; // new one
    text = null; // of a comment
    handler = null; // of the end tag
    end = null; // Changes of the end tag

    replace(value, isHTML) {
      this.replacement ??= new Content();
      this.replacement.clear();
      this.replacement.append(value, isHTML);
      this.removed = true;
    }
    replacement = null;

    flush(edits, index) {
      edits.addContent(index, this.before);
      if (this.removed) edits.add(index, EDIT_REMOVE, "", "");
      if (this.contentRemoved && this.end !== null) edits.add(index, EDIT_REMOVE_CONTENT, "", "");
      for (let item = this.attributes; item !== null; item = item.next) {
        if (item.value === null) edits.add(index, EDIT_REMOVE_ATTRIBUTE, item.name, "");
        else edits.add(index, EDIT_SET_ATTRIBUTE, item.name, item.value);
      }
      if (this.name !== null) edits.add(index, EDIT_RENAME, this.name, "");
      if (this.text !== null) edits.add(index, EDIT_COMMENT, this.text, "");
      if (this.replacement === null && this.after.first === null) return;
      edits.add(index, EDIT_TOKEN, "", "");
      if (this.replacement !== null) edits.addContent(index, this.replacement);
      edits.addContent(index, this.after);
    }
  }

  // The token that a handler gets, behind its object. It ends with the handler.
  class Token {
    rewriter;
    index; // of its event
    made = null;
    isValid = true;
    isInside = false; // in content that is left out
    constructor(rewriter, index) {
      this.rewriter = rewriter;
      this.index = index;
    }
    get changes() {
      return this.made ??= new Changes();
    }
    set changes(changes) {
      this.made = changes;
    }
    get isChanged() {
      return this.made !== null;
    }
    get(what, name) {
      return htmlGet(this.rewriter, this.index, what, name);
    }
  }

  function check(token) {
    if (!token.isValid) {
      throw new TypeError("This content token is no longer valid. Content tokens are only valid during the execution " +
        "of the relevant content handler.");
    }
    return token;
  }

  // ---- Arguments ----

  // Content: a string, a ReadableStream or a Response.
  function contentFrom(value, context) {
    if (isReadableStream(value)) return value;
    if (internals.isResponse(value)) return responseStream(value) ?? "";
    return webidl.DOMString(value, context);
  }

  function isHTMLFrom(options, context) {
    return options === undefined ? false : !!webidl.dictionary(options, context).html;
  }

  const lowerASCII = (name) => {
    for (let i = 0; i < name.length; i++) {
      const code = StringPrototypeCharCodeAt(name, i);
      if (code > 0x7f) return lowerSlowly(name);
    }
    return StringPrototypeToLowerCase(name);
  };
  function lowerSlowly(name) {
    let result = "";
    for (let i = 0; i < name.length; i++) {
      const code = StringPrototypeCharCodeAt(name, i);
      result += code < 0x80 ? StringPrototypeToLowerCase(name[i]) : name[i];
    }
    return result;
  }

  // Tells whether a name has none of these characters, nor white space.
  function lacks(name, characters) {
    for (let i = 0; i < name.length; i++) {
      const code = StringPrototypeCharCodeAt(name, i);
      if (code <= 0x20 ? code === 0x20 || code >= 0x09 && code <= 0x0d && code !== 0x0b : code < 0x40 &&
        StringPrototypeIncludes(characters, name[i])) return false;
    }
    return true;
  }

  function tagNameFrom(value, context) {
    const name = webidl.DOMString(value, context);
    if (name === "") throw new TypeError("Parser error: Tag name can't be empty.");
    const first = StringPrototypeCharCodeAt(name, 0) | 0x20;
    if (first < 0x61 || first > 0x7a) {
      throw new TypeError("Parser error: The first character of the tag name should be an ASCII alphabetical character.");
    }
    if (!lacks(name, "/>")) throw new TypeError("Parser error: a character is forbidden in a tag name.");
    return name;
  }

  // Handlers set the same attribute again and again.
  const NAME_KEPT = 64;
  let lastName = "", lastKey = "";
  function attributeNameFrom(value, context) {
    if (value === lastName && value !== "") return lastKey;
    const name = lowerASCII(webidl.DOMString(value, context));
    if (name === "") throw new TypeError("Parser error: Attribute name can't be empty.");
    if (!lacks(name, "/>=")) throw new TypeError("Parser error: a character is forbidden in an attribute name.");
    if (typeof value === "string" && value.length <= NAME_KEPT) {
      lastName = value;
      lastKey = name;
    }
    return name;
  }

  // ---- Tokens ----

  let newElement, newEndTag, newText, newComment, newDoctype, newDocumentEnd;
  const INTERNAL = { __proto__: null };

  // Methods that change what is around a token are the same for all kinds; `object` is returned.
  function insertBefore(token, object, content, options, where) {
    const context = "Failed to execute 'before' on '" + where + "'";
    const value = contentFrom(content, context);
    check(token).changes.before.append(value, isHTMLFrom(options, context));
    return object;
  }
  function insertAfter(token, object, content, options, where) {
    const context = "Failed to execute 'after' on '" + where + "'";
    const value = contentFrom(content, context);
    check(token).changes.after.prepend(value, isHTMLFrom(options, context));
    return object;
  }
  function replaceWith(token, object, content, options, where) {
    const context = "Failed to execute 'replace' on '" + where + "'";
    const value = contentFrom(content, context);
    check(token).changes.replace(value, isHTMLFrom(options, context));
    return object;
  }

  class AttributesIterator {
    list;
    at = 0;
    constructor(list) {
      this.list = list;
    }
    next() {
      if (this.at >= this.list.length) return { value: undefined, done: true };
      const { name, value } = this.list[this.at++];
      return { value: [name, value], done: false };
    }
  }
  ObjectSetPrototypeOf(AttributesIterator.prototype, IteratorPrototype);

  class Element {
    #token;
    #hasContent;
    #namespace;
    constructor(key, token, hasContent, namespace) {
      if (key !== INTERNAL) throw webidl.illegalConstructor();
      this.#token = token;
      this.#hasContent = hasContent;
      this.#namespace = namespace;
    }
    static {
      newElement = (token, hasContent, namespace) => new Element(INTERNAL, token, hasContent, namespace);
    }
    #valid() {
      return check(this.#token);
    }
    // The changes of the end tag.
    #end() {
      return this.#token.changes.end ??= new Changes();
    }
    get tagName() {
      const token = this.#valid();
      const name = token.isChanged ? token.changes.name : null;
      return name === null ? token.get(GET_TAG_NAME) : lowerASCII(name);
    }
    set tagName(value) {
      const name = tagNameFrom(value, "Failed to set 'tagName' on 'Element'");
      this.#valid().changes.name = name;
      if (this.#hasContent) this.#end().name = name;
    }
    get attributes() {
      const token = this.#valid();
      const found = token.get(GET_ATTRIBUTES);
      const texts = found[0], lengths = new Int32Array(TypedArrayPrototypeGetBuffer(found[1]));
      const list = new List();
      for (let i = 0, at = 0; i < lengths.length; i += 2) {
        const name = StringPrototypeSlice(texts, at, at += lengths[i]);
        list[list.length] = { name, value: StringPrototypeSlice(texts, at, at += lengths[i + 1]) };
      }
      const changed = token.isChanged ? token.changes.attributes : null;
      return new AttributesIterator(changed === null ? list : mergeAttributes(list, changed));
    }
    get removed() {
      const token = this.#valid();
      return token.isInside || token.isChanged && token.changes.removed;
    }
    get namespaceURI() {
      this.#valid();
      return NAMESPACES[this.#namespace];
    }
    getAttribute(name) {
      const key = lowerASCII(webidl.DOMString(name, "Failed to execute 'getAttribute' on 'Element'"));
      return attributeOf(this.#valid(), key);
    }
    hasAttribute(name) {
      const key = lowerASCII(webidl.DOMString(name, "Failed to execute 'hasAttribute' on 'Element'"));
      return attributeOf(this.#valid(), key) !== null;
    }
    setAttribute(name, value) {
      const context = "Failed to execute 'setAttribute' on 'Element'";
      webidl.requiredArguments(arguments.length, 2, context);
      const key = attributeNameFrom(name, context);
      this.#change(key, webidl.DOMString(value, context));
      return this;
    }
    removeAttribute(name) {
      this.#change(lowerASCII(webidl.DOMString(name, "Failed to execute 'removeAttribute' on 'Element'")), null);
      return this;
    }
    #change(name, value) {
      const { changes } = this.#valid();
      const item = { name, value, next: null };
      if (changes.attributes === null) changes.attributes = item;
      else changes.lastAttribute.next = item;
      changes.lastAttribute = item;
    }
    before(content, options = undefined) {
      return insertBefore(this.#token, this, content, options, "Element");
    }
    after(content, options = undefined) {
      const context = "Failed to execute 'after' on 'Element'";
      const value = contentFrom(content, context), isHTML = isHTMLFrom(options, context);
      this.#valid();
      (this.#hasContent ? this.#end() : this.#token.changes).after.prepend(value, isHTML);
      return this;
    }
    prepend(content, options = undefined) {
      const context = "Failed to execute 'prepend' on 'Element'";
      const value = contentFrom(content, context), isHTML = isHTMLFrom(options, context);
      if (this.#valid() && this.#hasContent) this.#token.changes.after.prepend(value, isHTML);
      return this;
    }
    append(content, options = undefined) {
      const context = "Failed to execute 'append' on 'Element'";
      const value = contentFrom(content, context), isHTML = isHTMLFrom(options, context);
      if (this.#valid() && this.#hasContent) this.#end().before.append(value, isHTML);
      return this;
    }
    setInnerContent(content, options = undefined) {
      const context = "Failed to execute 'setInnerContent' on 'Element'";
      const value = contentFrom(content, context), isHTML = isHTMLFrom(options, context);
      if (this.#valid() && this.#hasContent) {
        this.#removeContent();
        this.#token.changes.after.prepend(value, isHTML);
      }
      return this;
    }
    replace(content, options = undefined) {
      replaceWith(this.#token, this, content, options, "Element");
      if (this.#hasContent) {
        this.#removeContent();
        this.#end().removed = true;
      }
      return this;
    }
    remove() {
      this.#valid().changes.removed = true;
      if (this.#hasContent) {
        this.#removeContent();
        this.#end().removed = true;
      }
      return this;
    }
    removeAndKeepContent() {
      this.#valid().changes.removed = true;
      if (this.#hasContent) this.#end().removed = true;
      return this;
    }
    #removeContent() {
      const { changes } = this.#token;
      changes.contentRemoved = true;
      changes.after.clear();
      this.#end().before.clear();
      this.#end().contentRemoved = true;
    }
    onEndTag(handler) {
      if (typeof handler !== "function") {
        throw new TypeError("Failed to execute 'onEndTag' on 'Element': parameter 1 is not of type 'Function'.");
      }
      this.#valid();
      if (!this.#hasContent) throw new TypeError("Parser error: No end tag.");
      this.#end().handler = handler; // the last one counts, as in Workers
    }
  }

  function attributeOf(token, name) {
    let found = null; // the last
    for (let item = token.isChanged ? token.changes.attributes : null; item !== null; item = item.next) {
      if (item.name === name) found = item;
    }
    return found !== null ? found.value : token.get(GET_ATTRIBUTE, name);
  }

  function mergeAttributes(list, changed) {
    const merged = new List();
    for (let i = 0; i < list.length; i++) merged[merged.length] = list[i];
    for (let item = changed; item !== null; item = item.next) {
      const { name, value } = item;
      let at = 0;
      while (at < merged.length && merged[at].name !== name) at++;
      if (value !== null) {
        merged[at] = { name, value };
      } else if (at < merged.length) {
        for (; at + 1 < merged.length; at++) merged[at] = merged[at + 1];
        merged.length--;
      }
    }
    return merged;
  }

  class EndTag {
    #token;
    constructor(key, token) {
      if (key !== INTERNAL) throw webidl.illegalConstructor();
      this.#token = token;
    }
    static {
      newEndTag = (token) => new EndTag(INTERNAL, token);
    }
    get name() {
      const token = check(this.#token);
      return (token.isChanged ? token.changes.name : null) ?? token.get(GET_TAG_NAME);
    }
    set name(value) {
      const name = tagNameFrom(value, "Failed to set 'name' on 'EndTag'");
      check(this.#token).changes.name = name;
    }
    before(content, options = undefined) {
      return insertBefore(this.#token, this, content, options, "EndTag");
    }
    after(content, options = undefined) {
      return insertAfter(this.#token, this, content, options, "EndTag");
    }
    remove() {
      check(this.#token).changes.removed = true;
      return this;
    }
  }

  class Text {
    #token;
    #isLast;
    constructor(key, token, isLast) {
      if (key !== INTERNAL) throw webidl.illegalConstructor();
      this.#token = token;
      this.#isLast = isLast;
    }
    static {
      newText = (token, isLast) => new Text(INTERNAL, token, isLast);
    }
    get text() {
      return check(this.#token).get(GET_TEXT);
    }
    get lastInTextNode() {
      check(this.#token);
      return this.#isLast;
    }
    get removed() {
      const token = check(this.#token);
      return token.isChanged && token.changes.removed;
    }
    before(content, options = undefined) {
      return insertBefore(this.#token, this, content, options, "Text");
    }
    after(content, options = undefined) {
      return insertAfter(this.#token, this, content, options, "Text");
    }
    replace(content, options = undefined) {
      return replaceWith(this.#token, this, content, options, "Text");
    }
    remove() {
      check(this.#token).changes.removed = true;
      return this;
    }
  }

  class Comment {
    #token;
    constructor(key, token) {
      if (key !== INTERNAL) throw webidl.illegalConstructor();
      this.#token = token;
    }
    static {
      newComment = (token) => new Comment(INTERNAL, token);
    }
    get text() {
      const token = check(this.#token);
      return (token.isChanged ? token.changes.text : null) ?? token.get(GET_COMMENT);
    }
    set text(value) {
      const text = webidl.DOMString(value, "Failed to set 'text' on 'Comment'");
      if (StringPrototypeIncludes(text, "-->")) {
        throw new TypeError("Parser error: Comment text shouldn't contain a comment-closing sequence.");
      }
      check(this.#token).changes.text = text;
    }
    get removed() {
      const token = check(this.#token);
      return token.isChanged && token.changes.removed;
    }
    before(content, options = undefined) {
      return insertBefore(this.#token, this, content, options, "Comment");
    }
    after(content, options = undefined) {
      return insertAfter(this.#token, this, content, options, "Comment");
    }
    replace(content, options = undefined) {
      return replaceWith(this.#token, this, content, options, "Comment");
    }
    remove() {
      check(this.#token).changes.removed = true;
      return this;
    }
  }

  class Doctype {
    #token;
    constructor(key, token) {
      if (key !== INTERNAL) throw webidl.illegalConstructor();
      this.#token = token;
    }
    static {
      newDoctype = (token) => new Doctype(INTERNAL, token);
    }
    get name() {
      return check(this.#token).get(GET_DOCTYPE)[0];
    }
    get publicId() {
      return check(this.#token).get(GET_DOCTYPE)[1];
    }
    get systemId() {
      return check(this.#token).get(GET_DOCTYPE)[2];
    }
  }

  class DocumentEnd {
    #token;
    constructor(key, token) {
      if (key !== INTERNAL) throw webidl.illegalConstructor();
      this.#token = token;
    }
    static {
      newDocumentEnd = (token) => new DocumentEnd(INTERNAL, token);
    }
    append(content, options = undefined) {
      const context = "Failed to execute 'append' on 'DocumentEnd'";
      const value = contentFrom(content, context);
      check(this.#token).changes.before.append(value, isHTMLFrom(options, context));
      return this;
    }
  }

  const interfaces = [Element, EndTag, Text, Comment, Doctype, DocumentEnd];
  for (let i = 0; i < interfaces.length; i++) configureInterface(interfaces[i]);

  // ---- Rewriting ----

  // A promise of { chunk }, or of null at the end.
  function nextChunk(reader) {
    const { promise, resolve, reject } = PromiseWithResolvers();
    read(reader, {
      __proto__: null,
      chunkSteps: (chunk) => resolve({ __proto__: null, chunk }),
      closeSteps: () => resolve(null),
      errorSteps: reject,
    });
    return promise;
  }

  // One page that passes.
  class Run {
    handlers; // List of Handler
    rewriter; // a host object
    reader;
    output = null;
    pending = new SafeMap(); // id of an open element -> Changes of its end tag
    removing = 0; // open elements whose content is left out

    constructor(handlers, rewriter, reader) {
      this.handlers = handlers;
      this.rewriter = rewriter;
      this.reader = reader;
    }

    begin() {
      this.output = createPull(() => this.pull(), (reason) => cancelReader(this.reader, reason));
      return this.output.stream;
    }

    // Reads until there is output.
    async pull() {
      try {
        for (;;) {
          const result = await nextChunk(this.reader);
          if (result === null) {
            await this.write(new Uint8Array(0), true);
            this.output.close();
            return;
          }
          if (await this.writeChunk(result.chunk)) return;
        }
      } catch (error) {
        this.output.error(error);
        cancelReader(this.reader, error);
      }
    }

    // Whether anything came out.
    async writeChunk(chunk) {
      if (TypedArrayPrototypeGetSymbolToStringTag(chunk) !== "Uint8Array") {
        throw new TypeError("HTMLRewriter: the body has a chunk that is no Uint8Array.");
      }
      const length = TypedArrayPrototypeGetByteLength(chunk);
      const buffer = TypedArrayPrototypeGetBuffer(chunk), offset = TypedArrayPrototypeGetByteOffset(chunk);
      let hasOutput = false;
      for (let at = 0; at < length; at += PIECE_BYTES) {
        const size = at + PIECE_BYTES < length ? PIECE_BYTES : length - at;
        const done = this.write(size === length ? chunk : new Uint8Array(buffer, offset + at, size), false);
        if (typeof done === "boolean" ? done : await done) hasOutput = true;
      }
      return hasOutput;
    }

    // The same for a piece; a promise if a handler gives one.
    write(bytes, isEnd) {
      const events = htmlWrite(this.rewriter, bytes, isEnd);
      if (TypedArrayPrototypeGetSymbolToStringTag(events) === undefined) return this.enqueue(events[1]);
      const words = new Int32Array(TypedArrayPrototypeGetBuffer(events), TypedArrayPrototypeGetByteOffset(events),
        TypedArrayPrototypeGetByteLength(events) / 4);
      return new Piece(this, words, isEnd).run();
    }

    enqueue(bytes) {
      if (TypedArrayPrototypeGetByteLength(bytes) === 0) return false;
      this.output.enqueue(bytes);
      return true;
    }
  }

  // What handlers do to a piece.
  class Piece {
    page;
    words;
    isEnd;
    at = 0; // in words
    index = 0; // of the event
    edits = new Edits();

    constructor(page, words, isEnd) {
      this.page = page;
      this.words = words;
      this.isEnd = isEnd;
    }

    // Handles events, and gives the result of Run.write.
    run() {
      const { words } = this;
      while (this.at < words.length) {
        const done = this.event(words[this.at]);
        if (done !== undefined) return this.resume(done);
        this.index++;
      }
      if (this.isEnd) {
        const done = this.end();
        if (done !== undefined) return this.finishAfter(done);
      }
      return this.finish();
    }
    async resume(done) {
      await done;
      this.index++;
      return this.run();
    }
    async finishAfter(done) {
      await done;
      return this.finish();
    }

    // Handles the event at this.at and moves on. undefined: it is done; or a promise.
    event(kind) {
      const { words, at, page } = this;
      if (kind === EVENT_END) return this.endTag();
      const token = new Token(page.rewriter, this.index);
      let object, count, slot;
      if (kind === EVENT_START) {
        token.isInside = page.removing > 0;
        object = newElement(token, words[at + 2] === 1, words[at + 3]);
        count = at + 4;
        slot = ELEMENT;
      } else if (kind === EVENT_TEXT) {
        object = newText(token, words[at + 1] === 1);
        count = at + 2;
        slot = TEXT;
      } else {
        object = kind === EVENT_COMMENT ? newComment(token) : newDoctype(token);
        count = at + 1;
        slot = kind === EVENT_COMMENT ? COMMENTS : DOCTYPE;
      }
      const last = count + words[count];
      this.at = last + 1;
      const id = kind === EVENT_START ? words[at + 1] : 0;
      return this.call(token, object, slot, count + 1, last, id);
    }

    // Calls the handlers whose numbers are words[next ... last].
    call(token, object, slot, next, last, id) {
      const { words, page } = this;
      for (let i = next; i <= last; i++) {
        const done = page.handlers[words[i]].call(slot, object);
        if (done !== undefined) return this.callOn(done, token, object, slot, i + 1, last, id);
      }
      this.close(token, id);
      return undefined;
    }
    async callOn(done, token, object, slot, next, last, id) {
      await done;
      await this.call(token, object, slot, next, last, id);
    }

    // The handlers of a token are done.
    close(token, id) {
      token.isValid = false;
      if (!token.isChanged) return;
      token.changes.flush(this.edits, token.index);
      const { end } = token.changes;
      if (id === 0 || end === null) return;
      this.page.pending.set(id, end);
      if (end.contentRemoved) this.page.removing++;
    }

    endTag() {
      const { words, at, page } = this;
      const own = words[at + 1], last = at + 2 + words[at + 2];
      this.at = last + 1;
      if (page.pending.size === 0) return undefined;
      const token = new Token(page.rewriter, this.index);
      let handlers = null;
      // What an element without an end tag of its own has left goes to the one that ends it, up to the next that has
      // something: the same as in Workers, but for the removal or the name of the end tag, which is another element's.
      for (let i = at + 3; i <= last; i++) {
        const changes = page.pending.get(words[i]);
        if (changes === undefined) continue;
        page.pending.delete(words[i]);
        if (changes.contentRemoved) page.removing--;
        if (words[i] === own) {
          const hasContent = changes.before.first !== null || changes.after.first !== null || changes.contentRemoved;
          if (!hasContent && token.isChanged) {
            changes.before = token.changes.before;
            changes.after = token.changes.after;
          }
          token.changes = changes;
        } else if (changes.before.first !== null || changes.after.first !== null) {
          token.changes.before = changes.before;
          token.changes.after = changes.after;
        }
        if (changes.handler !== null) {
          handlers ??= new List();
          handlers[handlers.length] = changes.handler;
        }
      }
      if (handlers === null) {
        this.close(token, 0);
        return undefined;
      }
      return this.callEndTag(token, newEndTag(token), handlers, 0);
    }
    callEndTag(token, object, handlers, next) {
      for (let i = next; i < handlers.length; i++) {
        const done = settle(ReflectApply(handlers[i], undefined, [object]));
        if (done !== undefined) return this.callEndTagOn(done, token, object, handlers, i + 1);
      }
      this.close(token, 0);
      return undefined;
    }
    async callEndTagOn(done, token, object, handlers, next) {
      await done;
      await this.callEndTag(token, object, handlers, next);
    }

    // The end of the document.
    end() {
      const token = new Token(this.page.rewriter, this.index);
      return this.callEnd(token, newDocumentEnd(token), this.page.handlers.length - 1);
    }
    callEnd(token, object, next) {
      const { handlers } = this.page;
      for (let i = next; i >= 0; i--) { // from the last to the first, as in Workers
        const done = handlers[i].call(END, object);
        if (done !== undefined) return this.callEndOn(done, token, object, i - 1);
      }
      this.close(token, 0);
      return undefined;
    }
    async callEndOn(done, token, object, next) {
      await done;
      await this.callEnd(token, object, next);
    }

    finish() {
      const { edits, page } = this;
      const words = new Uint8Array(TypedArrayPrototypeGetBuffer(edits.words), 0, 4 * edits.length);
      const output = htmlApply(page.rewriter, words, edits.texts);
      if (TypedArrayPrototypeGetSymbolToStringTag(output) !== undefined) return page.enqueue(output);
      return this.fill(output[0], output[1]);
    }
    // Output with holes, into which streams go.
    async fill(output, table) {
      const holes = new Int32Array(TypedArrayPrototypeGetBuffer(table));
      const buffer = TypedArrayPrototypeGetBuffer(output), length = TypedArrayPrototypeGetByteLength(output);
      let from = 0;
      for (let i = 0; i < holes.length; i += 2) {
        this.page.enqueue(new Uint8Array(new Uint8Array(buffer, from, holes[i] - from)));
        from = holes[i];
        await this.pour(this.edits.holes[holes[i + 1]]);
      }
      this.page.enqueue(new Uint8Array(new Uint8Array(buffer, from, length - from)));
      return true;
    }
    async pour({ value, isHTML }) {
      const { encoding } = internals;
      const reader = acquireReader(value);
      const decoder = isHTML ? null : new encoding.TextDecoder();
      const escape = (chunk, stream) => {
        const text = encoding.decode(decoder, chunk, stream);
        if (text !== "") this.page.enqueue(ops.encodeUtf8(escapeText(text)));
      };
      for (;;) {
        const result = await nextChunk(reader);
        if (result === null) break;
        if (TypedArrayPrototypeGetSymbolToStringTag(result.chunk) !== "Uint8Array") {
          throw new TypeError("HTMLRewriter: a stream of content has a chunk that is no Uint8Array.");
        }
        if (isHTML) this.page.enqueue(new Uint8Array(result.chunk));
        else escape(result.chunk, { __proto__: null, stream: true });
      }
      if (!isHTML) escape(new Uint8Array(0), undefined);
    }
  }

  function escapeText(text) {
    let result = "";
    let from = 0;
    for (let i = 0; i < text.length; i++) {
      const code = StringPrototypeCharCodeAt(text, i);
      const entity = code === 0x26 ? "&amp;" : code === 0x3c ? "&lt;" : code === 0x3e ? "&gt;" : "";
      if (entity === "") continue;
      result += StringPrototypeSlice(text, from, i) + entity;
      from = i + 1;
    }
    return from === 0 ? text : result + StringPrototypeSlice(text, from);
  }

  // undefined for a handler's result that nobody waits for.
  const settle = (result) => webidl.isObject(result) ? result : undefined;

  // ---- Handlers ----

  const ELEMENT = "element", TEXT = "text", COMMENTS = "comments", DOCTYPE = "doctype", END = "end";
  const WANTS = {
    __proto__: null, [ELEMENT]: WANTS_ELEMENTS, [TEXT]: WANTS_TEXT, [COMMENTS]: WANTS_COMMENTS, [DOCTYPE]: WANTS_DOCTYPE,
    [END]: 0,
  };

  // The functions of a handlers object, read once.
  class Handler {
    selector; // null: of the document
    receiver;
    wants = 0;
    // The functions.
    element = undefined;
    text = undefined;
    comments = undefined;
    doctype = undefined;
    end = undefined;

    constructor(selector, receiver, names, context) {
      if (!webidl.isObject(receiver)) throw new TypeError(context + ": the handlers are not an object.");
      this.selector = selector;
      this.receiver = receiver;
      for (let i = 0; i < names.length; i++) {
        const value = receiver[names[i]];
        if (value === undefined || value === null) continue;
        if (typeof value !== "function") throw new TypeError(context + ": the handler '" + names[i] + "' is not a function.");
        this[names[i]] = value;
        this.wants |= WANTS[names[i]];
      }
    }
    // Calls a function with a token; undefined, or a promise (or whatever has a `then`).
    call(name, token) {
      const handler = this[name];
      return handler === undefined ? undefined : settle(ReflectApply(handler, this.receiver, [token]));
    }
  }

  class HTMLRewriter {
    #document = new List();
    #elements = new List();
    constructor() {}
    on(selector, handlers) {
      const context = "Failed to execute 'on' on 'HTMLRewriter'";
      if (!(#elements in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 2, context);
      selector = webidl.DOMString(selector, context);
      const handler = new Handler(selector, handlers, [COMMENTS, ELEMENT, TEXT], context);
      htmlCheckSelector(selector);
      this.#elements[this.#elements.length] = handler;
      return this;
    }
    onDocument(handlers) {
      const context = "Failed to execute 'onDocument' on 'HTMLRewriter'";
      if (!(#elements in this)) throw webidl.illegalInvocation();
      webidl.requiredArguments(arguments.length, 1, context);
      const handler = new Handler(null, handlers, [COMMENTS, DOCTYPE, END, TEXT], context);
      this.#document[this.#document.length] = handler;
      return this;
    }
    transform(response) {
      const context = "Failed to execute 'transform' on 'HTMLRewriter'";
      if (!(#elements in this)) throw webidl.illegalInvocation();
      if (!internals.isResponse(response)) throw new TypeError(context + ": parameter 1 is not of type 'Response'.");
      const body = responseStream(response);
      if (body === null) return responseWith(response, null);
      const handlers = new List();
      let specification = "";
      const lists = [this.#elements, this.#document]; // the order in which they are called
      for (let i = 0; i < lists.length; i++) {
        for (let j = 0; j < lists[i].length; j++) {
          const handler = lists[i][j];
          handlers[handlers.length] = handler;
          specification += (specification === "" ? "" : ",") + JSONStringify({
            __proto__: null, s: handler.selector ?? "", d: handler.selector === null, w: handler.wants,
          });
        }
      }
      const rewriter = htmlRewriter("[" + specification + "]", charsetOf(describeResponse(response).type));
      return responseWith(response, new Run(handlers, rewriter, acquireReader(body)).begin());
    }
  }

  function charsetOf(contentType) {
    if (contentType === null || StringPrototypeIndexOf(contentType, "=") < 0) return "";
    internals.load("69_mime_type");
    const mimeType = internals.mimeTypes.extract(contentType);
    return mimeType === null ? "" : internals.mimeTypes.parameter(mimeType, "charset") ?? "";
  }

  // Once V8 has collected all objects of a class, it throws away the compiled code that knows their layout. So one of
  // each that pages make by the thousand stays.
  const token = new Token(null, 0), content = new Content();
  content.append("", false);
  token.changes.attributes = token.changes.lastAttribute = { name: "", value: null, next: null };
  internals.keptForHTML = [
    token, content, newElement(token, true, 0), newText(token, true), newComment(token), newEndTag(token), new Edits(),
    new Piece(new Run(new List(), null, null), null, false), new Handler(null, token, new List(), ""),
  ];

  configureInterface(HTMLRewriter);
  internals.define("HTMLRewriter", HTMLRewriter);
  ObjectDefineProperty(AttributesIterator.prototype, SymbolIterator, {
    __proto__: null, value() { return this; }, writable: true, enumerable: false, configurable: true,
  });
})
