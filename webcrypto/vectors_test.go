package webcrypto

import (
	"bytes"
	"testing"
)

// Test vectors of the standards.

func TestDigests(t *testing.T) {
	t.Parallel()
	for hash, want := range map[Hash]string{ // FIPS 180-4, RFC 1321: "abc"
		SHA1:   "a9993e364706816aba3e25717850c26c9cd0d89d",
		SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		SHA384: "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
		SHA512: `ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
			2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f`,
		MD5: "900150983cd24fb0d6963f7d28e17f72",
	} {
		digest := output(t, func(out Sink) error { return Digest(hash, []byte("abc"), true, out) })
		pieces := output(t, func(out Sink) error {
			digester := NewDigester(hash)
			wantError(t, digester.Write([]byte("a"), true), "")
			wantError(t, digester.Write([]byte("bc"), false), "")
			digester.Finish(out)
			return nil
		})
		if !bytes.Equal(digest, unhex(t, want)) || !bytes.Equal(pieces, digest) {
			t.Errorf("%s: got %x, in pieces %x", hash, digest, pieces)
		}
	}
}

func TestHMACVectors(t *testing.T) { // RFC 4231, RFC 2202
	t.Parallel()
	for hash, want := range map[Hash]string{
		SHA1:   "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
		SHA256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		SHA384: "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
		SHA512: `164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554
			9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737`,
	} {
		key := imported(t, Raw, Params{Algorithm: HMAC, Hash: hash, Length: NoLength}, []byte("Jefe"), UsageSign|UsageVerify)
		data := []byte("what do ya want for nothing?")
		mac := output(t, func(out Sink) error { return key.Sign(SignParams{}, data, true, out) })
		if !bytes.Equal(mac, unhex(t, want)) {
			t.Errorf("%s: got %x", hash, mac)
		}
		good, err := key.Verify(SignParams{}, mac, data, true)
		wantError(t, err, "")
		mac[0] ^= 1
		bad, _ := key.Verify(SignParams{}, mac, data, true)
		short, _ := key.Verify(SignParams{}, mac[:4], data, true)
		if !good || bad || short {
			t.Errorf("%s: verified %t, spoiled %t, cut %t", hash, good, bad, short)
		}
	}
}

func TestCipherVectors(t *testing.T) {
	t.Parallel()
	plain := `6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51`
	for _, test := range []struct {
		name             string
		algorithm        Algorithm
		key, plain, want string
		params           CipherParams
	}{
		{"CBC, SP 800-38A F.2.1 and a block of padding", AESCBC, "2b7e151628aed2a6abf7158809cf4f3c", plain,
			"7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2 55e21d7100b988ffec32feeafaf23538",
			CipherParams{IV: unhex(t, "000102030405060708090a0b0c0d0e0f")}},
		{"CTR, SP 800-38A F.5.1", AESCTR, "2b7e151628aed2a6abf7158809cf4f3c", plain,
			"874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff",
			CipherParams{IV: unhex(t, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"), Length: 128}},
		{"GCM, case 4 of its specification", AESGCM, "feffe9928665731c6d6a8f9467308308",
			`d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525
			b16aedf5aa0de657ba637b39`,
			`42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa05
			1ba30b396a0aac973d58e091 5bc94fbc3221a5db94fae95ae7121a47`,
			CipherParams{
				IV:         unhex(t, "cafebabefacedbaddecaf888"),
				Additional: unhex(t, "feedfacedeadbeeffeedfacedeadbeefabaddad2"), Length: 128,
			}},
		{"GCM, case 5: an IV of 8 bytes", AESGCM, "feffe9928665731c6d6a8f9467308308",
			`d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525
			b16aedf5aa0de657ba637b39`,
			`61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c742373806900e49f24b22b097544d4896b42
			4989b5e1ebac0f07c23f4598 3612d2e79e3b0785561be14a`,
			CipherParams{
				IV:         unhex(t, "cafebabefacedbad"),
				Additional: unhex(t, "feedfacedeadbeeffeedfacedeadbeefabaddad2"), Length: 96,
			}},
		{"KW, RFC 3394 4.6", AESKW, "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
			"00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
			"28C9F404C4B810F4 CBCCB35CFB87F826 3F5786E2D80ED326 CBC7F0E71A99F43B FB988B9B7A02DD21", CipherParams{}},
	} {
		usages := test.algorithm.secretUsages()
		key := imported(t, Raw, Params{Algorithm: test.algorithm}, unhex(t, test.key), usages)
		sealed := output(t, func(out Sink) error { return key.Encrypt(test.params, unhex(t, test.plain), true, out) })
		if !bytes.Equal(sealed, unhex(t, test.want)) {
			t.Errorf("%s: got %x", test.name, sealed)
		}
		opened := output(t, func(out Sink) error { return key.Decrypt(test.params, sealed, true, out) })
		if !bytes.Equal(opened, unhex(t, test.plain)) {
			t.Errorf("%s: decrypted to %x", test.name, opened)
		}
	}
}

func TestEdDSAVectors(t *testing.T) { // RFC 8032 7.1, 7.4
	t.Parallel()
	for _, test := range []struct {
		algorithm                  Algorithm
		secret, public, data, want string
		context                    string
	}{
		{Ed25519, "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
			`6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659
			4a7c15e9716ed28dc027beceea1ec40a`, ""},
		{Ed448, `c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463afbea67c5e8d2877c5e3bc397a659949ef8021e
			954e0a12274e`,
			`43ba28f430cdff456ae531545f7ecd0ac834a55d9358c0372bfa0c6c6798c0866aea01eb00742802b8438ea4cb82169c235160627b4c3a
			9480`, "03",
			`26b8f91727bd62897af15e41eb43c377efb9c610d48f2335cb0bd0087810f4352541b143c4b981b7e18f62de8ccdf633fc1bf037ab7cd77980
			5e0dbcc0aae1cbcee1afb2e027df36bc04dcecbf154336c19f0af7e0a6472905e799f1953d2a0ff3348ab21aa4adafd1d234441cf807c03a
			00`, ""},
		{Ed448, `c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463afbea67c5e8d2877c5e3bc397a659949ef8021e
			954e0a12274e`,
			`43ba28f430cdff456ae531545f7ecd0ac834a55d9358c0372bfa0c6c6798c0866aea01eb00742802b8438ea4cb82169c235160627b4c3a
			9480`, "03",
			`d4f8f6131770dd46f40867d6fd5d5055de43541f8c5e35abbcd001b32a89f7d2151f7647f11d8ca2ae279fb842d607217fce6e042f6815ea00
			0c85741de5c8da1144a6a1aba7f96de42505d7a7298524fda538fccbbb754f578c1cad10d54d0d5428407e85dcbc98a49155c13764e66c3c
			00`, "foo"},
	} {
		params := Params{Algorithm: test.algorithm}
		key, err := newOKPPrivate(params, unhex(t, test.secret), unhex(t, test.public))
		wantError(t, err, "")
		key.Usages = UsageSign
		public := imported(t, Raw, params, unhex(t, test.public), UsageVerify)
		with := SignParams{Context: []byte(test.context)}
		signature := output(t, func(out Sink) error { return key.Sign(with, unhex(t, test.data), false, out) })
		if !bytes.Equal(signature, unhex(t, test.want)) {
			t.Errorf("%s: got %x", test.algorithm, signature)
		}
		if good, err := public.Verify(with, signature, unhex(t, test.data), false); !good || err != nil {
			t.Errorf("%s: verified %t, %v", test.algorithm, good, err)
		}
	}
}

func TestAgreementVectors(t *testing.T) { // RFC 7748 6
	t.Parallel()
	for _, test := range []struct {
		algorithm            Algorithm
		secret, public, want string
	}{
		{X25519, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
			"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
			"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"},
		{X448, `9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf574a9419744897391006382a6f127ab1d
			9ac2d8c0a598726b`,
			`3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b43027d8b972fc3e34fb4232a13ca706dcb57aec3dae
			07bdc1c67bf33609`,
			`07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56fd2464c335543936521c24403085d59a
			449a5037514a879d`},
	} {
		params := Params{Algorithm: test.algorithm}
		key, err := newOKPPrivate(params, unhex(t, test.secret), nil)
		wantError(t, err, "")
		key.Usages = UsageDeriveBits
		public := imported(t, Raw, params, unhex(t, test.public), 0)
		secret := output(t, func(out Sink) error {
			return key.DeriveBits(never{}, DeriveParams{Public: public}, NoLength, false, out)
		})
		if !bytes.Equal(secret, unhex(t, test.want)) {
			t.Errorf("%s: got %x", test.algorithm, secret)
		}
		cut := output(t, func(out Sink) error {
			return key.DeriveBits(never{}, DeriveParams{Public: public}, 19, false, out)
		})
		if want := []byte{secret[0], secret[1], secret[2] & 0xe0}; !bytes.Equal(cut, want) {
			t.Errorf("%s: 19 bits are %x, want %x", test.algorithm, cut, want)
		}
		zeros := imported(t, Raw, params, make([]byte, okpSize(test.algorithm)), 0)
		wantError(t, key.DeriveBits(never{}, DeriveParams{Public: zeros}, NoLength, false, &bytesSink{}), "OperationError")
	}
}

func TestDerivationVectors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		algorithm Algorithm
		secret    []byte
		params    DeriveParams
		want      string
	}{
		{"RFC 5869 A.1", HKDF, unhex(t, "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), DeriveParams{
			Hash: SHA256, Salt: unhex(t, "000102030405060708090a0b0c"), Info: unhex(t, "f0f1f2f3f4f5f6f7f8f9"),
		}, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
		{"RFC 6070", PBKDF2, []byte("passwordPASSWORDpassword"), DeriveParams{
			Hash: SHA1, Salt: []byte("saltSALTsaltSALTsaltSALTsaltSALTsalt"), Iterations: 4096,
		}, "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"},
		{"RFC 7914 11", PBKDF2, []byte("passwd"), DeriveParams{Hash: SHA256, Salt: []byte("salt"), Iterations: 1},
			`55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc
			49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783`},
	} {
		key, err := Import(Raw, Params{Algorithm: test.algorithm}, test.secret, false, UsageDeriveBits, false)
		wantError(t, err, "")
		want := unhex(t, test.want)
		derived := output(t, func(out Sink) error {
			return key.DeriveBits(never{}, test.params, 8*len(want), false, out)
		})
		if !bytes.Equal(derived, want) {
			t.Errorf("%s: got %x", test.name, derived)
		}
		empty := output(t, func(out Sink) error { return key.DeriveBits(never{}, test.params, 0, false, out) })
		if len(empty) != 0 {
			t.Errorf("%s: 0 bits are %x", test.name, empty)
		}
	}
}

func TestECDSAVector(t *testing.T) { // RFC 6979 A.2.5: P-256, SHA-256, "sample"
	t.Parallel()
	public := imported(t, Raw, Params{Algorithm: ECDSA, Curve: P256}, unhex(t, `04
		60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6
		7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299`), UsageVerify)
	signature := unhex(t, `EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
		F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8`)
	good, err := public.Verify(SignParams{Hash: SHA256}, signature, []byte("sample"), true)
	other, _ := public.Verify(SignParams{Hash: SHA384}, signature, []byte("sample"), true)
	cut, _ := public.Verify(SignParams{Hash: SHA256}, signature[1:], []byte("sample"), true)
	if !good || err != nil || other || cut {
		t.Errorf("verified %t, %v; with another hash %t, cut %t", good, err, other, cut)
	}
}
