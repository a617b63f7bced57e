package dns

import (
	"errors"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// datagramMax is what we take in one datagram: what passes everywhere without being split (RFC 9715).
const datagramMax = 1232

// appendQuestion appends the message that asks a server for the addresses of one family. plain leaves
// out EDNS, which very old servers do not understand.
func appendQuestion(into []byte, id uint16, name string, family dnsmessage.Type, plain bool) ([]byte, error) {
	full, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return into, err
	}
	b := dnsmessage.NewBuilder(into, dnsmessage.Header{ID: id, RecursionDesired: true})
	b.EnableCompression()
	if err := b.StartQuestions(); err != nil {
		return into, err
	}
	if err := b.Question(dnsmessage.Question{Name: full, Type: family, Class: dnsmessage.ClassINET}); err != nil {
		return into, err
	}
	if !plain {
		if err := b.StartAdditionals(); err != nil {
			return into, err
		}
		var header dnsmessage.ResourceHeader
		if err := header.SetEDNS0(datagramMax, dnsmessage.RCodeSuccess, false); err != nil {
			return into, err
		}
		if err := b.OPTResource(header, dnsmessage.OPTResource{}); err != nil {
			return into, err
		}
	}
	return b.Finish()
}

// A reply is what a server says about one question.
type reply struct {
	kind      replyKind
	addresses []netip.Addr
	alias     string // of replyAlias: whom to ask for next, folded
	ttl       uint32 // seconds; of replyNone: for how long that may be remembered
	aliases   int    // that led to the answer
}

type replyKind uint8

const (
	replyAddresses replyKind = iota + 1
	replyNone                // the name does not exist, or has no such addresses
	replyAlias               // the answer ends with an alias of which it says no more
	replyTruncated           // ask again by TCP
	replyPlain               // the server does not understand EDNS
	replyFailed              // ask another server
	replyLoop                // its aliases lead back, or on and on
)

// errForeign is about a message that does not answer the question: it came late, or is forged.
var errForeign = errors.New("dns: not the answer to this question")

// aliasesMax bounds how many aliases a name may have one after the other.
const aliasesMax = 16

// recordsMax bounds how many records of an answer are looked at.
const recordsMax = 512

// A record is what an answer says about one name.
type record struct {
	name    string
	alias   string // of a CNAME
	address netip.Addr
	ttl     uint32
}

// parseReply reads a message. Errors: errForeign, or that it is malformed.
func parseReply(message []byte, id uint16, name string, family dnsmessage.Type) (reply, error) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	// Without a header it bears no id, and anyone may have sent it.
	if err != nil || header.ID != id || !header.Response || header.OpCode != 0 {
		return reply{}, errForeign
	}
	question, err := p.Question()
	switch {
	case errors.Is(err, dnsmessage.ErrSectionDone) && header.RCode == dnsmessage.RCodeFormatError:
		return reply{kind: replyPlain}, nil // it did not even get that far
	case err != nil:
		return reply{}, errForeign
	case fold(question.Name.String()) != name, question.Type != family, question.Class != dnsmessage.ClassINET:
		return reply{}, errForeign
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return reply{}, errForeign
	}
	switch header.RCode {
	case dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError:
	case dnsmessage.RCodeFormatError, dnsmessage.RCodeNotImplemented:
		return reply{kind: replyPlain}, nil
	default:
		return reply{kind: replyFailed}, nil
	}
	if header.Truncated {
		return reply{kind: replyTruncated}, nil
	}
	records, err := readAnswers(&p, family)
	if err != nil {
		return reply{}, err
	}
	return conclude(&p, &header, records, name)
}

// readAnswers collects the records of the answer section that matter.
func readAnswers(p *dnsmessage.Parser, family dnsmessage.Type) ([]record, error) {
	var records []record
	for range recordsMax {
		header, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return records, nil
		}
		if err != nil {
			return nil, err
		}
		r := record{name: fold(header.Name.String()), ttl: header.TTL}
		switch {
		case header.Class == dnsmessage.ClassINET && header.Type == dnsmessage.TypeCNAME:
			body, err := p.CNAMEResource()
			if err != nil {
				return nil, err
			}
			r.alias = fold(body.CNAME.String())
		case header.Class == dnsmessage.ClassINET && header.Type == family && family == dnsmessage.TypeA:
			body, err := p.AResource()
			if err != nil {
				return nil, err
			}
			r.address = netip.AddrFrom4(body.A)
		case header.Class == dnsmessage.ClassINET && header.Type == family && family == dnsmessage.TypeAAAA:
			body, err := p.AAAAResource()
			if err != nil {
				return nil, err
			}
			r.address = netip.AddrFrom16(body.AAAA).Unmap()
		default:
			if err := p.SkipAnswer(); err != nil {
				return nil, err
			}
			continue
		}
		records = append(records, r)
	}
	return records, p.SkipAllAnswers()
}

// conclude follows the aliases of an answer to its addresses, or to why there are none.
func conclude(p *dnsmessage.Parser, header *dnsmessage.Header, records []record, name string) (reply, error) {
	r := reply{ttl: ttlMax}
	for {
		alias, ttl := aliasOf(records, name)
		if alias == "" {
			break
		}
		name, r.ttl = alias, min(r.ttl, ttl)
		if r.aliases++; r.aliases > aliasesMax {
			return reply{kind: replyLoop}, nil
		}
	}
	for _, one := range records {
		if one.name == name && one.address.IsValid() && !contains(r.addresses, one.address) {
			r.addresses = append(r.addresses, one.address)
			r.ttl = min(r.ttl, one.ttl)
		}
	}
	if len(r.addresses) != 0 {
		r.kind = replyAddresses
		return r, nil
	}
	ttl, hasSOA, err := negativeTTL(p)
	switch {
	case err != nil:
		return reply{}, err
	case header.RCode == dnsmessage.RCodeNameError, hasSOA:
		r.kind, r.ttl = replyNone, min(r.ttl, ttl)
	case r.aliases != 0:
		if !IsName(name) {
			return reply{kind: replyLoop}, nil
		}
		r.kind, r.alias = replyAlias, name
	case !header.RecursionAvailable && !header.Authoritative:
		r.kind = replyFailed // it only knows whom else to ask
	default:
		r.kind, r.ttl = replyNone, 0
	}
	return r, nil
}

func aliasOf(records []record, name string) (alias string, ttl uint32) {
	for i := range records {
		if records[i].name == name && records[i].alias != "" {
			return records[i].alias, records[i].ttl
		}
	}
	return "", 0
}

// negativeTTL is for how long it may be remembered that there is nothing (RFC 2308 §5).
func negativeTTL(p *dnsmessage.Parser) (ttl uint32, hasSOA bool, err error) {
	for range recordsMax {
		header, err := p.AuthorityHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, err
		}
		if header.Type == dnsmessage.TypeSOA {
			soa, err := p.SOAResource()
			return min(header.TTL, soa.MinTTL), true, err
		}
		if err := p.SkipAuthority(); err != nil {
			return 0, false, err
		}
	}
	return 0, false, nil
}
