import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { sourceFiles } from './source-files.js';

/** A function, method or arrow function with a name, as `FILE:NAME`. */
export interface SurveyedFunction {
  readonly name: string;
  readonly lines: number;
  readonly parameters: number;
}

/** Something that a file exports. */
export interface SurveyedExport {
  readonly file: string;
  readonly name: string;
  readonly kind: 'interface' | 'type' | 'function' | 'class' | 'const';
  readonly documented: boolean;
}

/** What `test/architecture` asks about the source as a whole. */
export interface Survey {
  /** Lines by file, relative to `src`. */
  readonly lines: ReadonlyMap<string, number>;
  readonly functions: readonly SurveyedFunction[];
  readonly exports: readonly SurveyedExport[];
  /** By file: the words in it that could name something, to see who uses what. */
  readonly words: ReadonlyMap<string, ReadonlySet<string>>;
}

const src = fileURLToPath(new URL('../../src/', import.meta.url));

/** Reads all of `src`. */
export function surveySource(): Survey {
  const lines = new Map<string, number>();
  const words = new Map<string, Set<string>>();
  const functions: SurveyedFunction[] = [];
  const exports: SurveyedExport[] = [];
  const passedOn: (readonly [door: string, file: string])[] = [];
  for (const file of sourceFiles(src)) {
    const path = join(src, file);
    const text = readFileSync(path, 'utf8');
    lines.set(file, text.split('\n').length - 1);
    words.set(file, new Set(text.match(/[A-Za-z_$][\w$]*/g)));
    const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
    collectFunctions(source, file, functions);
    passedOn.push(...starsOf(source, file));
    const before = exports.length;
    for (const statement of source.statements) {
      // The comment of a function is on its first signature.
      const isOverload = ({ name }: SurveyedExport): boolean =>
        ts.isFunctionDeclaration(statement) && exports.slice(before).some((one) => one.name === name);
      exports.push(...exportsOf(statement, file).filter((one) => !isOverload(one)));
    }
  }
  for (const [door, file] of passedOn) {
    for (const word of words.get(file) ?? []) words.get(door)?.add(word);
  }
  return { lines, words, functions, exports };
}

function collectFunctions(source: ts.SourceFile, file: string, into: SurveyedFunction[]): void {
  const lineAt = (position: number): number => source.getLineAndCharacterOfPosition(position).line;
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      into.push({
        name: `${file}:${nameOf(node)}`,
        lines: lineAt(node.end) - lineAt(node.getStart(source)) + 1,
        parameters: node.parameters.length,
      });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

function nameOf(node: ts.SignatureDeclaration): string {
  if (ts.isConstructorDeclaration(node)) return `${node.parent.name?.text ?? ''}.constructor`;
  const named = node.name ?? ('name' in node.parent ? (node.parent.name as ts.Node) : undefined);
  return named?.getText() ?? 'function';
}

function exportsOf(statement: ts.Statement, file: string): SurveyedExport[] {
  const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : [];
  if (!modifiers.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) return [];
  const documented = isDocumented(statement);
  const one = (name: string, kind: SurveyedExport['kind']): SurveyedExport => ({
    file,
    name,
    kind,
    documented,
  });
  if (ts.isInterfaceDeclaration(statement)) return [one(statement.name.text, 'interface')];
  if (ts.isTypeAliasDeclaration(statement)) return [one(statement.name.text, 'type')];
  if (ts.isFunctionDeclaration(statement)) return [one(statement.name?.text ?? 'default', 'function')];
  if (ts.isClassDeclaration(statement)) return [one(statement.name?.text ?? 'default', 'class')];
  if (!ts.isVariableStatement(statement)) return [];
  return statement.declarationList.declarations
    .flatMap(({ name }) => (ts.isIdentifier(name) ? [name] : name.elements.flatMap(namesOfElement)))
    .map((name) => one(name.text, 'const'));
}

/** By a comment of its own, or by that of a run of constants without blank lines in between. */
function isDocumented(statement: ts.Statement): boolean {
  if (ts.getJSDocCommentsAndTags(statement).length > 0) return true;
  const { statements, text } = statement.getSourceFile();
  const before = statements[statements.indexOf(statement) - 1];
  if (before === undefined || !ts.isVariableStatement(statement) || !ts.isVariableStatement(before))
    return false;
  return text.slice(before.end, statement.getStart()) === '\n' && isDocumented(before);
}

/** The names that one element of a destructuring pattern introduces; those of nested patterns are left out. */
function namesOfElement(element: ts.ArrayBindingElement): ts.Identifier[] {
  return ts.isBindingElement(element) && ts.isIdentifier(element.name) ? [element.name] : [];
}

/** What a file passes on as a whole by `export * from`: all its names are in use. */
function starsOf(source: ts.SourceFile, file: string): (readonly [door: string, file: string])[] {
  return source.statements.flatMap((statement) => {
    if (!ts.isExportDeclaration(statement) || statement.isTypeOnly || statement.exportClause !== undefined)
      return [];
    const { text } = statement.moduleSpecifier as ts.StringLiteral;
    return [[file, join(dirname(file), text).replace(/\.js$/, '.ts')] as const];
  });
}
