import fc from 'fast-check';
import t from 'tap';
import { formatBytes, formatDuration, formatFigure } from '../../src/cli/amounts.js';
import { nearest, suggestion } from '../../src/cli/nearest.js';
import { chooseStyle, colourStyle, plainStyle } from '../../src/cli/style.js';
import { renderPairs, renderTable, wrapText } from '../../src/cli/table.js';

t.test('a table is as wide as its content, figures to the right', async (t) => {
  const lines = renderTable(
    [{ title: 'NAME' }, { title: 'BYTES', align: 'right' }, { title: 'NOTE' }],
    [
      ['to-site-b', '12', 'first'],
      ['c', '1234567', ''],
    ],
  );
  t.same(lines, [
    'NAME         BYTES  NOTE',
    '---------  -------  -----',
    'to-site-b       12  first',
    'c          1234567',
  ]);
});

t.test('a narrow screen wraps the widest text column, never a figure', async (t) => {
  const lines = renderTable(
    [{ title: 'NAME' }, { title: 'WHAT' }, { title: 'N', align: 'right' }],
    [['a', 'one two three four five', '7']],
    { width: 24 },
  );
  t.same(lines, [
    'NAME  WHAT             N',
    '----  ---------------  -',
    'a     one two three    7',
    '      four five',
  ]);
  t.ok(lines.every((line) => line.length <= 24));
});

t.test('a cell may hold line breaks, a missing cell is empty, no rows leave the titles', async (t) => {
  t.same(renderTable([{ title: 'A' }, { title: 'B' }], [['1\n2', 'x'], ['3']]), [
    'A  B',
    '-  -',
    '1  x',
    '2',
    '3',
  ]);
  t.same(renderTable([{ title: 'A' }], []), ['A', '-']);
});

t.test('painting gets whole cells and changes no position', async (t) => {
  const plain = renderTable([{ title: 'A' }, { title: 'B' }], [['up', 'x']]);
  const painted = renderTable([{ title: 'A' }, { title: 'B' }], [['up', 'x']], {
    title: colourStyle.bold,
    cell: (text, row, column) => (row === 0 && column === 0 ? colourStyle.good(text) : text),
  });
  t.equal(painted[2], '\u001b[32mup\u001b[39m  x');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is taken out here
  const stripped = painted.map((line) => line.replace(/\u001b\[[0-9]+m/g, ''));
  t.same(stripped, plain);
});

t.test('whatever the cells: every word is shown, no line ends in a space', async () => {
  const word = fc.stringMatching(/^[a-z0-9]{1,12}$/);
  const cell = fc.array(word, { maxLength: 5 }).map((words) => words.join(' '));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 }),
      fc.option(fc.integer({ min: 1, max: 120 }), { nil: undefined }),
      (rows, width) => {
        const lines = renderTable(
          [{ title: 'X' }, { title: 'Y' }, { title: 'Z', align: 'right' }],
          rows,
          width === undefined ? {} : { width },
        );
        const text = lines.join('');
        return (
          lines.every((line) => line === line.trimEnd()) &&
          rows.flat().every((value) =>
            value
              .split(' ')
              .filter((part) => part.length <= 8)
              .every((part) => text.includes(part)),
          )
        );
      },
    ),
  );
});

t.test('pairs stand under each other', async (t) => {
  t.same(
    renderPairs(
      [
        ['a', 'one two three four'],
        ['long', 'x'],
      ],
      { width: 16, indent: ' ' },
    ),
    [' a     one two', '       three', '       four', ' long  x'],
  );
  t.same(renderPairs([]), []);
});

t.test('wrapping cuts only what has no space', async (t) => {
  t.same(wrapText('aa bb cc', 5), ['aa bb', 'cc']);
  t.same(wrapText('abcdefgh ij', 4), ['abcd', 'efgh', 'ij']);
  t.same(wrapText('', 4), ['']);
});

t.test('amounts', async (t) => {
  t.same([0, 1023, 1024, 1536, 1048500, 1048575, 5 * 2 ** 30].map(formatBytes), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '1023.9 KiB',
    '1.0 MiB',
    '5.0 GiB',
  ]);
  t.same([-5, 0, 59_999, 60_000, 185_000, 7_620_000, 442_800_000].map(formatDuration), [
    '0s',
    '0s',
    '59s',
    '1m00s',
    '3m05s',
    '2h07m',
    '5d03h',
  ]);
  t.same([0.1234, 3.456, 34.56, 345.6, 34567].map(formatFigure), ['0.123', '3.46', '34.6', '346', '34,567']);
});

t.test('the nearest word, when it is near', async (t) => {
  const words = ['status', 'check', 'pair', 'config', 'control'];
  t.equal(nearest('stauts', words), 'status');
  t.equal(nearest('chek', words), 'check');
  t.equal(nearest('conf', words), 'config');
  t.equal(nearest('xyzzy', words), undefined);
  t.equal(suggestion('pear', words, '--'), '; did you mean "--pair"?');
  t.equal(suggestion('xyzzy', words), '');
});

t.test('colours are for terminals whose user wants them', async (t) => {
  t.equal(chooseStyle(true, {}), colourStyle);
  t.equal(chooseStyle(true, { NO_COLOR: '' }), colourStyle, 'an empty NO_COLOR says nothing');
  t.equal(chooseStyle(true, { NO_COLOR: '1' }), plainStyle);
  t.equal(chooseStyle(true, { TERM: 'dumb' }), plainStyle);
  t.equal(chooseStyle(false, {}), plainStyle);
});
