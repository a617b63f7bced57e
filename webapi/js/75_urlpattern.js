// URLPattern (URL Pattern Standard, https://urlpattern.spec.whatwg.org/). Parsing patterns is native. What comes
// of it, strings and regular expressions, lives here: a pattern that an app makes at its top level is part of
// the app's snapshot.
(function (ops, internals) {
  "use strict";
  const {
    ObjectDefineProperty, RegExpPrototypeExec, StringPrototypeSlice, TypeError,
  } = internals.primordials;
  const { configureInterface, webidl } = internals;
  const { urlComponents, urlParse, patternCompare, patternInput, patternParse } = ops;

  // Components, in the order of the ops.
  const PROTOCOL = 0, USERNAME = 1, PASSWORD = 2, HOSTNAME = 3, PORT = 4, PATHNAME = 5, SEARCH = 6, HASH = 7;
  const COMPONENTS = 8;
  const INDEXES = {
    __proto__: null, protocol: PROTOCOL, username: USERNAME, password: PASSWORD, hostname: HOSTNAME, port: PORT,
    pathname: PATHNAME, search: SEARCH, hash: HASH,
  };

  // What patternParse gives for each component: its pattern string; what matches it, a string, a RegExp or null
  // for everything; the names of its groups; whether some have a regular expression of their own. And behind the
  // last.
  const FIELDS = 4, PATTERN = 0, MATCHER = 1, NAMES = 2, HAS_REGEXP_GROUPS = 3;
  const PROTOCOL_MAY_BE_SPECIAL = COMPONENTS * FIELDS;

  // A URLPatternInit, its members converted in the order of their names, as Web IDL has it.
  class Init {
    baseURL;
    protocol;
    username;
    password;
    hostname;
    port;
    pathname;
    search;
    hash;
    constructor(value, context) {
      value = webidl.dictionary(value, context);
      const member = (item) => item === undefined ? undefined : webidl.USVString(item, context);
      this.baseURL = member(value.baseURL);
      this.hash = member(value.hash);
      this.hostname = member(value.hostname);
      this.password = member(value.password);
      this.pathname = member(value.pathname);
      this.port = member(value.port);
      this.protocol = member(value.protocol);
      this.search = member(value.search);
      this.username = member(value.username);
    }
    // The dictionary as JavaScript sees it in a result.
    toObject() {
      const object = {};
      const set = (name, value) => {
        if (value === undefined) return;
        ObjectDefineProperty(object, name, {
          __proto__: null, value, writable: true, enumerable: true, configurable: true,
        });
      };
      set("baseURL", this.baseURL);
      set("hash", this.hash);
      set("hostname", this.hostname);
      set("password", this.password);
      set("pathname", this.pathname);
      set("port", this.port);
      set("protocol", this.protocol);
      set("search", this.search);
      set("username", this.username);
      return object;
    }
  }

  // (USVString or URLPatternInit)
  function toInput(value, context) {
    return value === undefined || value === null || webidl.isObject(value) ? new Init(value, context)
      : webidl.USVString(value, context);
  }

  function parse(input, baseURL, ignoreCase) {
    const parsed = typeof input === "string" ? patternParse(input, baseURL, ignoreCase)
      : patternParse(undefined, input.baseURL, ignoreCase, input.protocol, input.username, input.password,
        input.hostname, input.port, input.pathname, input.search, input.hash);
    if (parsed === null) throw new TypeError("Failed to construct 'URLPattern': The pattern is not valid.");
    return parsed;
  }

  // The components of what is matched, or null if it is no URL.
  function componentsOf(input, baseURL) {
    if (typeof input !== "string") {
      return patternInput(input.baseURL, input.protocol, input.username, input.password, input.hostname,
        input.port, input.pathname, input.search, input.hash);
    }
    const at = urlComponents(); // before parsing, which fills it only once it exists
    const href = urlParse(input, baseURL);
    if (href === null) return null;
    const slice = (from, to) => from < to ? StringPrototypeSlice(href, from, to) : "";
    // Positions as Ada's url_aggregator has them.
    const protocolEnd = at[0], usernameEnd = at[1], hostStart = at[2], hostEnd = at[3], port = at[4],
      pathnameStart = at[5], searchStart = at[6], hashStart = at[7];
    const hashAt = hashStart === OMITTED ? href.length : hashStart;
    const searchAt = searchStart === OMITTED ? hashAt : searchStart;
    return [
      StringPrototypeSlice(href, 0, protocolEnd - 1),
      slice(protocolEnd + 2, usernameEnd),
      slice(usernameEnd + 1, hostStart),
      slice(href[hostStart] === "@" ? hostStart + 1 : hostStart, hostEnd),
      port === OMITTED ? "" : "" + port,
      slice(pathnameStart, searchAt),
      slice(searchAt + 1, hashAt),
      slice(hashAt + 1, href.length),
    ];
  }
  const OMITTED = 0xffffffff;

  // The groups of a component that matches, as a list of what its names stand for; else null.
  function matchComponent(matcher, input) {
    if (matcher === null) return [input];
    if (typeof matcher === "string") return matcher === input ? NO_GROUPS : null;
    return RegExpPrototypeExec(matcher, input);
  }
  const NO_GROUPS = [];

  function componentResult(parsed, component, input, match) {
    const matcher = parsed[component * FIELDS + MATCHER];
    const names = parsed[component * FIELDS + NAMES];
    const first = matcher === null ? 0 : 1; // a match of a RegExp begins with all that it has matched
    const groups = {};
    for (let i = 0; i < names.length; i++) {
      ObjectDefineProperty(groups, names[i], {
        __proto__: null, value: match[i + first], writable: true, enumerable: true, configurable: true,
      });
    }
    return { groups, input };
  }

  let parsedOf; // what a URLPattern consists of, or undefined for anything else

  class URLPattern {
    #parsed; // see parse

    static {
      parsedOf = (value) => (webidl.isObject(value) && #parsed in value ? value.#parsed : undefined);
    }

    constructor(input = undefined, baseURL = undefined, options = undefined) {
      const context = "Failed to construct 'URLPattern'";
      // Without a base URL, the options come second.
      const hasBase = arguments.length > 2 ||
        !(baseURL === undefined || baseURL === null || webidl.isObject(baseURL));
      input = toInput(input, context);
      if (hasBase) {
        baseURL = webidl.USVString(baseURL, context);
      } else {
        options = baseURL;
        baseURL = undefined;
      }
      const ignoreCase = !!webidl.dictionary(options, context).ignoreCase;
      if (hasBase && typeof input !== "string") {
        throw new TypeError(context + ": A base URL must be a member of the init, if there is one.");
      }
      this.#parsed = parse(input, baseURL, ignoreCase);
    }

    static compareComponent(component, left, right) {
      const context = "Failed to execute 'compareComponent' on 'URLPattern'";
      webidl.requiredArguments(arguments.length, 3, context);
      component = INDEXES[webidl.enumeration(component, INDEXES, "URLPatternComponent", context)];
      const leftParsed = parsedOf(left);
      const rightParsed = parsedOf(right);
      if (leftParsed === undefined || rightParsed === undefined) {
        throw new TypeError(context + ": A value to compare is not a URLPattern.");
      }
      return patternCompare(component, leftParsed[component * FIELDS], !leftParsed[PROTOCOL_MAY_BE_SPECIAL],
        rightParsed[component * FIELDS], !rightParsed[PROTOCOL_MAY_BE_SPECIAL]);
    }

    // "Match" of the standard: whether all components do. What each has matched is put into results, unless
    // that is null.
    #match(input, baseURL, context, results) {
      if (typeof input !== "string" && baseURL !== undefined) {
        throw new TypeError(context + ": A base URL must be a member of the init, if there is one.");
      }
      const components = componentsOf(input, baseURL);
      if (components === null) return false;
      const parsed = this.#parsed;
      for (let i = 0; i < COMPONENTS; i++) {
        const match = matchComponent(parsed[i * FIELDS + MATCHER], components[i]);
        if (match === null) return false;
        if (results !== null) results[i] = componentResult(parsed, i, components[i], match);
      }
      return true;
    }

    test(input = undefined, baseURL = undefined) {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'test' on 'URLPattern'";
      input = toInput(input, context);
      if (baseURL !== undefined) baseURL = webidl.USVString(baseURL, context);
      return this.#match(input, baseURL, context, null);
    }

    exec(input = undefined, baseURL = undefined) {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      const context = "Failed to execute 'exec' on 'URLPattern'";
      input = toInput(input, context);
      if (baseURL !== undefined) baseURL = webidl.USVString(baseURL, context);
      const results = [null, null, null, null, null, null, null, null];
      if (!this.#match(input, baseURL, context, results)) return null;
      const shown = typeof input === "string" ? input : input.toObject();
      return {
        hash: results[HASH],
        hostname: results[HOSTNAME],
        inputs: baseURL === undefined ? [shown] : [shown, baseURL],
        password: results[PASSWORD],
        pathname: results[PATHNAME],
        port: results[PORT],
        protocol: results[PROTOCOL],
        search: results[SEARCH],
        username: results[USERNAME],
      };
    }

    get protocol() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      return this.#parsed[PROTOCOL * FIELDS + PATTERN];
    }
    get username() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      return this.#parsed[USERNAME * FIELDS + PATTERN];
    }
    get password() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      return this.#parsed[PASSWORD * FIELDS + PATTERN];
    }
    get hostname() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      return this.#parsed[HOSTNAME * FIELDS + PATTERN];
    }
    get port() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      return this.#parsed[PORT * FIELDS + PATTERN];
    }
    get pathname() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      return this.#parsed[PATHNAME * FIELDS + PATTERN];
    }
    get search() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      return this.#parsed[SEARCH * FIELDS + PATTERN];
    }
    get hash() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      return this.#parsed[HASH * FIELDS + PATTERN];
    }
    get hasRegExpGroups() {
      if (!(#parsed in this)) throw webidl.illegalInvocation();
      for (let i = 0; i < COMPONENTS; i++) if (this.#parsed[i * FIELDS + HAS_REGEXP_GROUPS]) return true;
      return false;
    }
  }
  configureInterface(URLPattern);

  internals.define("URLPattern", URLPattern);
})
