import t, { type Test } from 'tap';
import { type SurveyedExport, surveySource } from '../helpers/source-survey.js';

/*
 * What a file, a function and an export may be. Each list names those that are not there yet: entries are taken out,
 * and numbers are lowered, never the other way round.
 */

const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 60;
const MAX_PARAMETERS = 5;

/** Files that are longer, none of them than so many lines. */
const LONG_FILE_LINES = 520;
const LONG_FILES: readonly string[] = [
  'api/schemas/answers.ts',
  'connection/reconcile.ts',
  'dataplane/ffi/data-plane.ts',
  'esp/offload/coalesce.ts',
  'ike/v1/quick-responder.ts',
];

const LONG_FUNCTIONS: readonly string[] = [
  'api/operations/cidrs.ts:family',
  'api/operations/policies.ts:operationsOf',
  'api/render/connections.ts:connectionAnswer',
  'cli/vpn/policies.ts:commandsOf',
  'connection/reconcile.ts:#makeTable',
  'dataplane/ffi/crypto/evp.ts:createEvpCrypto',
  'dataplane/ffi/crypto/packet-mac.ts:stateMaker',
  'dataplane/ffi/loop/packet-loop.ts:#obey',
  'ike/v1/main-initiator.ts:keAnswered',
  'ike/v1/quick-responder.ts:answer',
  'ike/v2/create-child-initiator.ts:createChildAnswered',
  'ike/v2/init-responder.ts:answer',
  'ike/v2/init-responder.ts:initRequested',
];

/** On the way of a packet some are deliberate: an object per call would be allocated per packet. */
const MANY_PARAMETERS: readonly string[] = [
  'api/operations/connection-list.ts:pageOfConnections',
  'api/render/connections.ts:connectionAnswer',
  'crypto/keymat-v1.ts:deriveV1EspKeys',
  'crypto/keymat-v1.ts:deriveV1Keys',
  'crypto/keymat-v1.ts:quickModeKeymat',
  'dataplane/ffi/crypto/aead-calls.ts:aim',
  'dataplane/ffi/crypto/cbc-packets.ts:CbcSealer.constructor',
  'dataplane/ffi/crypto/esp-calls.ts:frame',
  'dataplane/ffi/crypto/gcm128.ts:GcmCalls.constructor',
  'dataplane/ffi/crypto/gcm128.ts:aim',
  'dataplane/ffi/crypto/ipsec-mb.ts:IpsecMbCalls.constructor',
  'dataplane/ffi/crypto/ipsec-mb.ts:aim',
  'dataplane/ffi/crypto/multi-cbc.ts:MultiCbcSealer.constructor',
  'dataplane/ffi/crypto/packet-mac.ts:begin',
  'dataplane/ffi/crypto/self-test.ts:crypt',
  'dataplane/ffi/loop/handover.ts:give',
  'dataplane/ffi/loop/inbound.ts:#esp',
  'dataplane/ffi/memory/arena.ts:setRun',
  'esp/selectors.ts:rowMatches6',
  'ike/v1/nat.ts:natDPayloads',
  'ike/v2/send.ts:sendRequest',
  'linux/netlink.ts:netlinkRequest',
  'wire/reader.ts:Reader.constructor',
];

/** By room, how many exported interfaces, types, functions and classes may still lack a comment; 0 where left out. */
const UNDOCUMENTED: Readonly<Record<string, number>> = {
  ...{ wire: 27, ike: 65, connection: 15 },
  ...{ store: 40, api: 40, daemon: 45, cli: 45 },
};

/** By room, how many exported functions, classes and values no other file of the program may mention; 0 as above. */
const UNUSED: Readonly<Record<string, number>> = {
  ...{ wire: 17, crypto: 19, ike: 25, esp: 16, connection: 15, linux: 14, dataplane: 6 },
  ...{ store: 12, telemetry: 3, api: 5, daemon: 15, cli: 8, util: 4 },
};

const survey = surveySource();

t.test('files are read in one go, functions at one glance', async (t) => {
  t.ok(survey.lines.size > 400, `${survey.lines.size} files`);
  const long = [...survey.lines].filter(
    ([file, lines]) => lines > (LONG_FILES.includes(file) ? LONG_FILE_LINES : MAX_FILE_LINES),
  );
  t.same(long, [], `files of more than ${MAX_FILE_LINES} lines`);
  t.ok(survey.functions.length > 4000, `${survey.functions.length} functions`);
  const functions = survey.functions.filter(
    ({ name, lines }) => lines > MAX_FUNCTION_LINES && !LONG_FUNCTIONS.includes(name),
  );
  t.same(functions, [], `functions of more than ${MAX_FUNCTION_LINES} lines`);
  const wide = survey.functions.filter(
    ({ name, parameters }) => parameters > MAX_PARAMETERS && !MANY_PARAMETERS.includes(name),
  );
  t.same(wide, [], `functions of more than ${MAX_PARAMETERS} parameters`);
});

t.test('what is exported says what it is', async (t) => {
  within(
    t,
    UNDOCUMENTED,
    survey.exports.filter(({ kind, documented }) => kind !== 'const' && !documented),
  );
  t.ok(survey.exports.some(({ documented }) => documented));
});

t.test('what is exported is used in another file of the program', async (t) => {
  const doors = survey.exports.filter(({ file }) => file.endsWith('/index.ts'));
  t.same(doors, [], 'front doors only pass on');
  within(
    t,
    UNUSED,
    survey.exports.filter(
      ({ kind, file, name }) =>
        (kind === 'function' || kind === 'class' || kind === 'const') &&
        ![...survey.words].some(([other, words]) => other !== file && words.has(name)),
    ),
  );
});

/** By room, no more than these. */
function within(t: Test, most: Readonly<Record<string, number>>, found: readonly SurveyedExport[]): void {
  const rooms = new Map<string, string[]>();
  for (const { file, name } of found) {
    const room = file.split('/')[0]!;
    rooms.set(room, [...(rooms.get(room) ?? []), `${file}:${name}`]);
  }
  for (const [room, names] of rooms) {
    const bound = most[room] ?? 0;
    t.ok(names.length <= bound, `${room}: ${names.length} of at most ${bound}`, { names });
  }
}
