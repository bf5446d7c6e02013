package crowd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"time"
)

// Authority signs the certificates of one run; everybody in its network trusts it.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

// NewAuthority makes one and writes its own certificate to path.
func NewAuthority(name, path string) (*Authority, error) {
	a := &Authority{}
	raw, err := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(raw.der); err != nil {
		return nil, err
	}
	a.key = raw.key
	return a, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw.der}), 0o600)
}

type signed struct {
	der []byte
	key *ecdsa.PrivateKey
}

// sign makes a key and a certificate; of the authority itself if parent is nil.
func (a *Authority) sign(template, parent *x509.Certificate) (signed, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signed{}, err
	}
	a.next++
	template.SerialNumber = big.NewInt(a.next)
	template.NotBefore, template.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(48*time.Hour)
	signer := a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	return signed{der, key}, err
}

// Issue writes certificate and key of the machine at an address.
func (a *Authority) Issue(address, cert, key string) error {
	s, err := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: address}, IPAddresses: []net.IP{net.ParseIP(address)}}, a.cert)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(s.key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600))
}
