import t from 'tap';
import { parseDateTime } from '../../src/telemetry/rfc3339.js';

t.test('dates and times of RFC 3339, and nothing else', async (t) => {
  const noon = Date.UTC(2026, 10, 30, 12);
  for (const text of ['2026-11-30T12:00:00Z', '2026-11-30t12:00:00.000z', '2026-11-30T13:00:00+01:00']) {
    t.equal(parseDateTime(text), noon, text);
  }
  t.equal(parseDateTime('2026-11-30T12:00:00.250Z'), noon + 250);
  for (const text of [
    ...['', 'noon', '0', '1764504000', '2026-11-30', '2026-11-30T12:00Z', '2026-11-30T12:00:00'],
    ...['2026-11-30 12:00:00Z', '2026-13-30T12:00:00Z', '2026-11-30T25:00:00Z', '2026-11-30T12:00:00+99:00'],
    ' 2026-11-30T12:00:00Z',
  ]) {
    t.equal(parseDateTime(text), undefined, text);
  }
});
