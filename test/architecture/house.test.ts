import t, { type Test } from 'tap';
import { type SurveyedExport, type SurveyedFunction, surveySource } from '../helpers/source-survey.js';

/*
 * What a file, a function and an export may be. Each list names exactly those that are not there yet: an entry that is
 * no longer true fails as well. Entries are taken out, and numbers are lowered, never the other way round.
 */

const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 60;
const MAX_PARAMETERS = 5;

const LONG_FUNCTIONS: readonly string[] = [];

/**
 * On the way of every packet, and meant to stay: offsets and lengths of one packet or one run, which as an object would
 * be allocated for each.
 */
const PARAMETERS_PER_PACKET: readonly string[] = [
  'dataplane/ffi/crypto/aead-calls.ts:aim',
  'dataplane/ffi/crypto/gcm128.ts:aim',
  'dataplane/ffi/crypto/ipsec-mb.ts:aim',
  'dataplane/ffi/loop/handover.ts:give',
  'dataplane/ffi/loop/inbound.ts:#esp',
  'dataplane/ffi/memory/arena.ts:setRun',
  'esp/selectors.ts:rowMatches6',
];

const MANY_PARAMETERS: readonly string[] = [
  'api/operations/connection-list.ts:pageOfConnections',
  'api/render/connections.ts:connectionAnswer',
  'crypto/keymat-v1.ts:deriveV1EspKeys',
  'crypto/keymat-v1.ts:deriveV1Keys',
  'crypto/keymat-v1.ts:quickModeKeymat',
  'ike/v1/nat.ts:natDPayloads',
  'ike/v2/send.ts:sendRequest',
  'linux/netlink.ts:netlinkRequest',
  'wire/reader.ts:Reader.constructor',
];

/** By room, how many exported functions, classes and values only their own file and tests mention; 0 where left out. */
const UNUSED: Readonly<Record<string, number>> = {
  ...{ wire: 4, crypto: 13, ike: 3, esp: 11, connection: 2, linux: 2, dataplane: 2 },
  ...{ store: 3, api: 1, daemon: 4, cli: 4 },
};

/** Where constants are operations, answers, commands and views: each entry of them has its own words for users. */
const SPEAKING = /^(api\/(operations|schemas)|cli\/(commands|vpn))\//;

const survey = surveySource();

t.test('files are read in one go, functions at one glance', async (t) => {
  t.ok(survey.lines.size > 400, `${survey.lines.size} files`);
  const long = [...survey.lines].filter(([, lines]) => lines > MAX_FILE_LINES);
  t.same(long, [], `files of more than ${MAX_FILE_LINES} lines`);
  t.ok(survey.functions.length > 4000, `${survey.functions.length} functions`);
  const functions = survey.functions.filter(({ lines }) => lines > MAX_FUNCTION_LINES);
  t.same(namesOf(functions), LONG_FUNCTIONS, `functions of more than ${MAX_FUNCTION_LINES} lines`);
  const wide = survey.functions.filter(({ parameters }) => parameters > MAX_PARAMETERS);
  const known = [...MANY_PARAMETERS, ...PARAMETERS_PER_PACKET].sort();
  t.same(namesOf(wide), known, `functions of more than ${MAX_PARAMETERS} parameters`);
});

t.test('what is exported says what it is', async (t) => {
  t.ok(survey.exports.length > 1000, `${survey.exports.length} exports`);
  t.same(
    survey.exports.filter(
      ({ kind, file, documented }) => !documented && !(kind === 'const' && SPEAKING.test(file)),
    ),
    [],
  );
});

t.test('what is exported is used in another file of the program', async (t) => {
  const doors = survey.exports.filter(({ file }) => file.endsWith('/index.ts'));
  t.same(doors, [], 'front doors only pass on');
  asMany(
    t,
    UNUSED,
    survey.exports.filter(
      ({ kind, file, name }) =>
        (kind === 'function' || kind === 'class' || kind === 'const') &&
        ![...survey.words].some(([other, words]) => other !== file && words.has(name)),
    ),
  );
});

/** Sorted, each once. */
function namesOf(functions: readonly SurveyedFunction[]): string[] {
  return [...new Set(functions.map(({ name }) => name))].sort();
}

/** By room, as many as these. */
function asMany(t: Test, as: Readonly<Record<string, number>>, found: readonly SurveyedExport[]): void {
  const roomOf = (file: string): string => file.split('/')[0]!;
  for (const room of new Set([...Object.keys(as), ...found.map(({ file }) => roomOf(file))])) {
    const names = found
      .filter(({ file }) => roomOf(file) === room)
      .map(({ file, name }) => `${file}:${name}`);
    t.equal(names.length, as[room] ?? 0, `${room}: lower the number when there are fewer`, { names });
  }
}
