import { createHash } from 'node:crypto';
import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';

/** A file of the console as it is sent. */
export interface ConsoleFile {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

interface Asset {
  readonly path: string;
  readonly type: string;
  readonly etag: string;
  /** Content codings that the file is there in, besides its own form. */
  readonly codings: readonly Coding[];
}

type Coding = 'br' | 'gzip';
const SUFFIX: Readonly<Record<Coding, string>> = { br: '.br', gzip: '.gz' };

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

const INDEX = 'index.html';
/** Files whose name changes with their content. */
const HASHED = /^assets\//;

/** What the page may do: load what this server has, and speak to this server. */
const PAGE_HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "font-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
};

/**
 * The files of the built console. The folder is listed when a page is asked for and has changed since: a console that
 * is built while the server runs is there at once. Only what was listed is read, whatever a path contains.
 */
export class ConsoleAssets {
  readonly #folder: string;
  #listed: { readonly stamp: string; readonly assets: ReadonlyMap<string, Asset> } | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Whether the console was built. */
  get isBuilt(): boolean {
    return this.#list() !== undefined;
  }

  /**
   * The file of a path below `/console/`; the page for every path that is none of a file, since the page shows what
   * the address names. Undefined for a file that is not there, and when nothing is.
   */
  async find(path: string, acceptEncoding: string | undefined): Promise<ConsoleFile | undefined> {
    const assets = this.#list();
    const asset = assets?.get(path) ?? (HASHED.test(path) ? undefined : assets?.get(INDEX));
    if (asset === undefined) return undefined;
    const coding = asset.codings.find((one) => accepts(acceptEncoding, one));
    const body = await readFile(
      join(this.#folder, asset.path + (coding === undefined ? '' : SUFFIX[coding])),
    );
    return {
      body,
      headers: {
        'content-type': asset.type,
        etag: coding === undefined ? asset.etag : `${asset.etag.slice(0, -1)}-${coding}"`,
        'cross-origin-resource-policy': 'same-origin',
        'cache-control': HASHED.test(path) ? 'public, max-age=31536000, immutable' : 'no-cache',
        ...(coding === undefined ? {} : { 'content-encoding': coding }),
        ...(asset.path === INDEX ? PAGE_HEADERS : {}),
      },
    };
  }

  #list(): ReadonlyMap<string, Asset> | undefined {
    const found = statSync(join(this.#folder, INDEX), { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    const stamp = `${found.mtimeMs} ${found.ino}`;
    if (this.#listed?.stamp !== stamp) this.#listed = { stamp, assets: listAssets(this.#folder) };
    return this.#listed.assets;
  }
}

function listAssets(folder: string): ReadonlyMap<string, Asset> {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  const pathOf = (entry: Dirent): string =>
    relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/');
  const paths = new Set(entries.filter((entry) => entry.isFile()).map(pathOf));
  const assets = new Map<string, Asset>();
  for (const path of paths) {
    const type = TYPES[extname(path)];
    if (type === undefined) continue;
    const digest = createHash('sha256')
      .update(readFileSync(join(folder, path)))
      .digest('base64url');
    const codings = (['br', 'gzip'] as const).filter((coding) => paths.has(path + SUFFIX[coding]));
    assets.set(path, { path, type, etag: `"${digest.slice(0, 22)}"`, codings });
  }
  return assets;
}

/** Whether a request takes a content coding (RFC 9110 §12.5.3). */
function accepts(header: string | undefined, coding: Coding): boolean {
  return (header ?? '').split(',').some((part) => {
    const [name, ...parameters] = part
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/);
    return name === coding && !parameters.some((one) => /^q=0(?:\.0*)?$/.test(one));
  });
}
