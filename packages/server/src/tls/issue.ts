import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  NameConstraints,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509';

/** X.509 certificates (RFC 5280) with P-256 keys. Loaded only when one is to be made or looked into. */

/** A certificate and its private key, both PEM. */
export interface Issued {
  cert: string;
  key: string;
}

export interface Lifetime {
  fromMs: number;
  untilMs: number;
}

/**
 * Makes an authority that can vouch for the given names, those below them, and no others: whoever takes hold of its
 * key cannot pose as anybody else toward clients that trust it.
 */
export function issueAuthority(names: readonly string[], lifetime: Lifetime): Issued {
  const { publicKey, privateKey } = newKeys();
  // Called differently each time: clients look an issuer up by its name, and an earlier one may still be among those
  // they trust.
  const subject = name(`Runstead local authority ${randomBytes(6).toString('hex')}`);
  return issue({
    subject,
    issuer: subject,
    lifetime,
    keys: { publicKey, privateKey },
    signingKey: privateKey,
    extensions: [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true, pathLenConstraint: 0 })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign)),
      extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth])),
      extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(keyIdentifier(publicKey))),
      extension(id_ce_nameConstraints, true, constraintsTo(names)),
    ],
  });
}

/** Makes a certificate for a server of these names. */
export function issueServer(names: readonly string[], authority: Issued, lifetime: Lifetime): Issued {
  const { publicKey, privateKey } = newKeys();
  const above = AsnConvert.parse(new X509Certificate(authority.cert).raw, Certificate);
  const { subject, subjectPublicKeyInfo } = above.tbsCertificate;
  const aboveId = new KeyIdentifier(hashOf(subjectPublicKeyInfo));
  return issue({
    subject: name('Runstead server'),
    issuer: subject,
    lifetime,
    keys: { publicKey, privateKey },
    signingKey: authority.key,
    extensions: [
      extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: false })),
      extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
      extension(id_ce_extKeyUsage, false, new ExtendedKeyUsage([id_kp_serverAuth])),
      extension(id_ce_subjectAltName, false, new SubjectAlternativeName(names.map((it) => generalName(it)))),
      extension(id_ce_subjectKeyIdentifier, false, new SubjectKeyIdentifier(keyIdentifier(publicKey))),
      extension(id_ce_authorityKeyIdentifier, false, new AuthorityKeyIdentifier({ keyIdentifier: aboveId })),
    ],
  });
}

/** Whether an authority of ours may vouch for all of these names. */
export function mayVouchFor(authorityCert: string, names: readonly string[]): boolean {
  const { extensions = [] } = AsnConvert.parse(
    new X509Certificate(authorityCert).raw,
    Certificate,
  ).tbsCertificate;
  const found = extensions.find(({ extnID }) => extnID === id_ce_nameConstraints);
  if (!found) return false;
  const { permittedSubtrees = [] } = AsnConvert.parse(found.extnValue, NameConstraints);
  const allowed = permittedSubtrees.map(({ base }) => base.dNSName ?? base.iPAddress?.replace(/\/\d+$/, ''));
  return names.every((it) => allowed.includes(withoutWildcard(it)));
}

interface Order {
  subject: Name;
  issuer: Name;
  lifetime: Lifetime;
  keys: { publicKey: KeyObject; privateKey: KeyObject };
  signingKey: KeyObject | string;
  extensions: Extension[];
}

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';

function issue({ subject, issuer, lifetime, keys, signingKey, extensions }: Order): Issued {
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 });
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: newSerial(),
    signature: algorithm,
    issuer,
    validity: new Validity({ notBefore: new Date(lifetime.fromMs), notAfter: new Date(lifetime.untilMs) }),
    subject,
    subjectPublicKeyInfo: publicKeyInfo(keys.publicKey),
    extensions: new Extensions(extensions),
  });
  const signature = sign('sha256', new Uint8Array(AsnConvert.serialize(tbsCertificate)), signingKey);
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm,
    signatureValue: bytes(signature),
  });
  return {
    cert: new X509Certificate(Buffer.from(AsnConvert.serialize(certificate))).toString(),
    key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function newKeys() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** 126 random bits: positive, and never shorter than 16 bytes (RFC 5280 section 4.1.2.2). */
function newSerial(): ArrayBuffer {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  return bytes(serial);
}

const ORGANISATION = '2.5.4.10';
const COMMON_NAME = '2.5.4.3';

function name(commonName: string): Name {
  const part = (type: string, text: string) =>
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({ type, value: new AttributeValue({ utf8String: text }) }),
    ]);
  return new Name([part(ORGANISATION, 'Runstead'), part(COMMON_NAME, commonName)]);
}

function extension(id: string, critical: boolean, value: object): Extension {
  return new Extension({ extnID: id, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });
}

/** Kinds of names that are not among these stay free (RFC 5280 section 4.2.1.10), so there is always one of each. */
function constraintsTo(names: readonly string[]): NameConstraints {
  const bases = [...new Set(names.map(withoutWildcard))];
  if (!bases.some((it) => isIP(it) === 0) || !bases.some((it) => isIP(it) !== 0)) {
    throw new Error('an authority needs a name and an address that it is for');
  }
  const subtree = (base: string) =>
    new GeneralSubtree({
      base: generalName(base, isIP(base) === 0 ? '' : isIP(base) === 4 ? '/32' : '/128'),
    });
  return new NameConstraints({ permittedSubtrees: new GeneralSubtrees(bases.map(subtree)) });
}

function withoutWildcard(name: string): string {
  return name.replace(/^\*\./, '');
}

function generalName(host: string, mask = ''): GeneralName {
  return new GeneralName(isIP(host) === 0 ? { dNSName: host } : { iPAddress: `${host}${mask}` });
}

function publicKeyInfo(key: KeyObject): SubjectPublicKeyInfo {
  return AsnConvert.parse(key.export({ type: 'spki', format: 'der' }), SubjectPublicKeyInfo);
}

function keyIdentifier(key: KeyObject): ArrayBuffer {
  return hashOf(publicKeyInfo(key));
}

/** RFC 5280 section 4.2.1.2, method 1: it only has to be the same above and below. */
function hashOf({ subjectPublicKey }: SubjectPublicKeyInfo): ArrayBuffer {
  return bytes(createHash('sha1').update(new Uint8Array(subjectPublicKey)).digest());
}

function bytes(buffer: Buffer): ArrayBuffer {
  return new Uint8Array(buffer).buffer;
}
