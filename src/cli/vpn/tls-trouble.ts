import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CliError, messageOf } from '../errors.js';

/** No authority that this machine trusts has signed the certificate (codes of X509_verify_cert, as Node names them). */
const UNTRUSTED: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'INVALID_CA',
]);

/** Why a connection to an endpoint fails at TLS, and what to do; undefined when it fails elsewhere. */
export function tlsTrouble(endpoint: string, error: unknown): string | undefined {
  const { code = '', cert } = error as {
    readonly code?: string;
    readonly cert?: { readonly subjectaltname?: string; readonly valid_to?: string };
  };
  if (endpoint.startsWith('http:')) return plainTrouble(endpoint, code);
  if (!endpoint.startsWith('https:')) return undefined;
  if (UNTRUSTED.has(code)) {
    return `the certificate of ${endpoint} is not signed by anyone this machine trusts; name it, or the one that signed it, with --ca-file or CULVERT_CA_FILE`;
  }
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID': {
      const names = cert?.subjectaltname ?? 'no name';
      return `the certificate of ${endpoint} is for ${names}; name the server so with --endpoint, or give it a certificate for this name`;
    }
    case 'CERT_HAS_EXPIRED':
      return `the certificate of ${endpoint} has expired; renew it there, then run culvert serve-reload`;
    case 'CERT_NOT_YET_VALID':
      return `the certificate of ${endpoint} is not valid yet; check the clocks of both machines`;
    // A plain answer where a TLS record is due; the name depends on the OpenSSL.
    case 'EPROTO':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return `the server at ${endpoint} does not speak TLS; write http:${endpoint.slice('https:'.length)}`;
    default:
      return undefined;
  }
}

/** A TLS server hangs up on a plain request, or answers by an alert that is no HTTP. */
function plainTrouble(endpoint: string, code: string): string | undefined {
  if (code !== 'ECONNRESET' && !code.startsWith('HPE_')) return undefined;
  const secure = `https:${endpoint.slice('http:'.length)}`;
  return `the server at ${endpoint} gives no HTTP answer; if it speaks TLS, write ${secure}`;
}

/** Certificates to trust, PEM. @throws CliError */
export function readCertificates(path: string): Buffer {
  let pem: Buffer;
  try {
    pem = readFileSync(path);
  } catch (error) {
    throw new CliError(
      `the file ${path} cannot be read: ${messageOf(error)}; correct --ca-file or CULVERT_CA_FILE`,
    );
  }
  try {
    new X509Certificate(pem);
  } catch {
    throw new CliError(
      `${path} holds no certificate in PEM form; name the file that begins with -----BEGIN CERTIFICATE----- with --ca-file`,
    );
  }
  return pem;
}
