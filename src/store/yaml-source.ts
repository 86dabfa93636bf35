import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
} from 'yaml';
import { err, ok, type Result } from '../util/result.js';
import { type ConfigError, type ConfigIssue, formatPath, isShowableName } from './config-error.js';
import { type AliasTargets, AnchorWalk, fieldOf, resolved } from './yaml-anchors.js';

/** A file of a thousand connections has some 400 kB. */
const MAX_CHARACTERS = 4 * 1024 * 1024;
/** Faults of YAML itself that are reported: one slip often causes many. */
const MAX_YAML_ERRORS = 3;

const PARSING = { stringKeys: true, merge: true } as const;

const SPECIAL = '& * ! | > @ ` % # { } [ ] , ?';

/**
 * Words for the parser's error codes. Its own messages quote the text at fault, which may be a pre-shared
 * key: they are never shown.
 */
const MEANING: Readonly<Partial<Record<YAMLError['code'], string>>> = {
  BAD_SCALAR_START: `a plain text cannot begin with this character: put it in quotes (so for texts that begin with ${SPECIAL})`,
  BLOCK_AS_IMPLICIT_KEY: 'a second ": " in one line: put a text that holds it in quotes, or begin a new line',
  BAD_INDENT: 'the indentation does not fit, or a bracket before it is not closed',
  BAD_DQ_ESCAPE:
    'unknown escape in a text with double quotes: write \\\\ for a backslash, or use single quotes',
  MISSING_CHAR: 'a closing quote, bracket, comma or colon is missing',
  MULTIPLE_DOCS: 'more than one document: remove what stands from the second "---" on',
  MULTILINE_IMPLICIT_KEY: 'a field name runs over several lines: a colon may be missing',
  TAB_AS_INDENT: 'a tab is used for indentation: use spaces',
  NON_STRING_KEY: 'a list, map or alias (*) is used as a field name: put a name in quotes',
  BLOCK_IN_FLOW: 'a list with "- " stands inside brackets or braces: use commas there',
  UNEXPECTED_TOKEN: 'something unexpected stands here: check the indentation, colons and quotes',
};

/** A parsed file that still knows the place of everything. */
export interface YamlSource {
  readonly value: unknown;
  /** Gives an issue its line and column: those of the nearest place that exists. */
  locate(issue: ConfigIssue): ConfigError;
}

/** Fields of the whole file that are no settings: a place for what anchors mark. */
const EXTENSION = /^x-/;

/**
 * Reads the text as one YAML document without tags. Anchors, aliases and merges are followed within a limit; fields of
 * the whole file that begin with `x-` are left out.
 */
export function readYaml(text: string): Result<YamlSource, ConfigError[]> {
  if (text.length > MAX_CHARACTERS) {
    const message = `the file has ${text.length} characters: at most ${MAX_CHARACTERS} are read`;
    return err([{ path: '', message }]);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, lineCounter: lines, ...PARSING });
  const at = (offset: number): Pick<ConfigError, 'line' | 'column'> => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (document.errors.length > 0) {
    const errors = document.errors.map((error) => ({
      path: '',
      ...at(error.pos[0]),
      message: meaning(error, document),
    }));
    return err(oncePerFault(errors).slice(0, MAX_YAML_ERRORS));
  }
  const { faults, targets } = new AnchorWalk(document);
  if (faults.length > 0) {
    return err(faults.map(({ offset, message }) => ({ path: '', ...at(offset), message })));
  }
  const inherited = inheritedNames(document);
  if (inherited.length > 0) {
    const errors = inherited.map(({ name, offset }) => ({
      path: '',
      ...at(offset),
      message: `"${name}" is not a known field: remove it`,
    }));
    return err(errors.slice(0, MAX_YAML_ERRORS));
  }
  const locate = (issue: ConfigIssue): ConfigError => {
    const offset = offsetOf(document.contents, issue, targets);
    return {
      path: formatPath(issue.path),
      ...(offset === undefined ? {} : at(offset)),
      message: issue.message,
    };
  };
  // The walk has bounded what aliases expand to.
  return ok({ value: settingsOf(document.toJS({ maxAliasCount: -1 })), locate });
}

/** An editor that indents by tabs does so in every line: the first one shows it. */
function oncePerFault(errors: readonly ConfigError[]): ConfigError[] {
  return errors.filter(
    ({ message }, index) => errors.findIndex((other) => other.message === message) === index,
  );
}

function settingsOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => !EXTENSION.test(name)));
}

function meaning(error: YAMLError, document: Document.Parsed): string {
  if (error.code !== 'DUPLICATE_KEY') {
    return `not YAML: ${MEANING[error.code] ?? 'check the indentation, colons and quotes'}`;
  }
  const name = keyAt(document, error.pos[0]);
  return `the field ${name === undefined ? '' : `"${name}" `}stands here a second time: keep one of the two`;
}

function keyAt(document: Document.Parsed, offset: number): string | undefined {
  let found: string | undefined;
  visit(document, {
    Pair(_, pair) {
      if (isScalar(pair.key) && pair.key.range?.[0] === offset) found = String(pair.key.value);
    },
  });
  return found !== undefined && isShowableName(found) ? found : undefined;
}

/**
 * Fields named like what every object inherits (`toString`, `__proto__`). No file has such a field, and code that
 * compares or prints objects trips over them.
 */
function inheritedNames(document: Document.Parsed): { readonly name: string; readonly offset: number }[] {
  const found: { name: string; offset: number }[] = [];
  visit(document, {
    Pair(_, { key }) {
      if (!isScalar(key)) return;
      const name = String(key.value);
      if (name in Object.prototype) found.push({ name, offset: startOf(key) ?? 0 });
    },
  });
  return found;
}

function offsetOf(root: unknown, issue: ConfigIssue, targets: AliasTargets): number | undefined {
  let offset = startOf(root);
  let node = root;
  const last = issue.path.length - 1;
  for (const [depth, step] of issue.path.entries()) {
    node = resolved(node, targets);
    if (isMap(node)) {
      const pair = fieldOf(node, step, targets);
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      if (issue.atName === true && depth === last) return offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
    } else {
      return offset;
    }
    offset = startOf(node) ?? offset;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined;
}
