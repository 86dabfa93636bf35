import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { exposure } from '../../store/secret-file.js';
import type { Logger } from '../../telemetry/log.js';
import { StartError } from '../start-error.js';

/** A certificate is reported this long before it expires. */
const EXPIRY_WARNING_MS = 14 * 86_400_000;

/** Certificate chain and key of the API, PEM. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * Reads certificate and key and checks that they match, so that a fault names its file here and not by the words
 * of OpenSSL at the first connection. A key that others may read and a certificate that expires are warned of.
 * @throws StartError naming file and remedy
 */
export function readTlsFiles(
  files: { readonly certificate: string; readonly key: string },
  now: Date,
  logger: Logger,
): TlsMaterial {
  const cert = read(files.certificate, 'tls.certificate');
  const key = read(files.key, 'tls.key');
  const certificate = parseCertificate(cert, files.certificate);
  const privateKey = parseKey(key, files.key);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new StartError(
      `the key in ${files.key} does not belong to the certificate in ${files.certificate}`,
      'name the pair that was made together under "tls"; the certificate of the server comes first in its file',
    );
  }
  const expires = Date.parse(certificate.validTo);
  if (expires - now.getTime() < EXPIRY_WARNING_MS) {
    const when = expires < now.getTime() ? 'has expired' : 'expires soon';
    logger.warn(
      { file: files.certificate, valid_to: certificate.validTo },
      `the TLS certificate ${when} (${certificate.validTo}): renew it, then run culvert serve-reload`,
    );
  }
  const exposed = exposure(files.key);
  if (exposed !== undefined) logger.warn({ file: files.key }, `the TLS key ${files.key} ${exposed}`);
  return { cert, key };
}

function read(path: string, field: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StartError(`the file ${path} cannot be read (${code})`, `correct "${field}" or its rights`);
  }
}

function parseCertificate(pem: Buffer, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    const found = /PRIVATE KEY/.test(pem.toString('latin1'))
      ? 'holds a key'
      : 'holds no certificate in PEM form';
    throw new StartError(
      `${path} ${found}`,
      'name the file that begins with -----BEGIN CERTIFICATE----- as "tls.certificate"',
    );
  }
}

function parseKey(pem: Buffer, path: string): KeyObject {
  const text = pem.toString('latin1');
  try {
    return createPrivateKey(pem);
  } catch {
    if (/ENCRYPTED/.test(text)) {
      throw new StartError(
        `the key in ${path} is encrypted`,
        'decrypt it into a file of mode 600: openssl pkey -in FILE -out KEY',
      );
    }
    const found = /BEGIN CERTIFICATE/.test(text) ? 'holds a certificate' : 'holds no private key in PEM form';
    throw new StartError(
      `${path} ${found}`,
      'name the file that begins with -----BEGIN PRIVATE KEY----- as "tls.key"',
    );
  }
}
