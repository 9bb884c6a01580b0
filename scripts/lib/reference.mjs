// docs/reference: the public interface as Markdown, written from the declarations and their comments by TypeDoc.
import { join } from 'node:path';
import { Application, ReflectionKind } from 'typedoc';
import { CONFIG, ROOT } from './paths.mjs';

const ENTRIES = ['js/index.ts', 'js/ort.ts', 'js/inline.ts'];

/** Kinds that need a comment. Of functions and the like it is their signatures that have it. */
const DOCUMENTED = ReflectionKind.Module | ReflectionKind.Namespace | ReflectionKind.Class | ReflectionKind.Interface | ReflectionKind.TypeAlias
  | ReflectionKind.Variable | ReflectionKind.Property | ReflectionKind.CallSignature | ReflectionKind.ConstructorSignature | ReflectionKind.GetSignature;

/** Reads the declarations. */
export async function readReference() {
  const app = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown'],
    entryPoints: ENTRIES.map((path) => join(ROOT, path)),
    tsconfig: join(CONFIG, 'tsconfig.json'),
    name: 'tractlet',
    logLevel: 'Warn',
    readme: 'none',
    // Only the package's own members: not those of Error, for example, which depend on the libraries in use.
    excludeExternals: true,
    excludeInternal: true,
    excludePrivate: true,
    disableSources: true,
    disableGit: true,
    sort: ['source-order'],
    validation: { notExported: false, notDocumented: false, invalidLink: true },
    router: 'module',
    flattenOutputFiles: true,
    hidePageHeader: true,
    hideBreadcrumbs: true,
    indexFormat: 'table',
    parametersFormat: 'table',
    interfacePropertiesFormat: 'table',
    classPropertiesFormat: 'table',
    typeAliasPropertiesFormat: 'table',
    typeDeclarationFormat: 'table',
    propertyMembersFormat: 'table',
  });
  const project = await app.convert();
  if (!project) throw new Error('the declarations could not be read');
  app.validate(project);
  return { app, project };
}

/** Writes the pages to a folder, in place of what is in it. */
export async function writeReference({ app, project }, folder) {
  app.options.setValue('out', folder);
  await app.generateOutputs(project);
}

/**
 * Names of what is exported without a comment. Of `tractlet/ort` only what the module itself exports counts: the members
 * are those of onnxruntime-common, which documents them.
 */
export function undocumented({ project }) {
  const names = [];
  for (const reflection of project.getReflectionsByKind(DOCUMENTED)) {
    const name = (reflection.isSignature() ? reflection.parent : reflection).getFullName();
    const exported = reflection.isSignature() ? reflection.parent.parent : reflection.parent;
    const foreign = name.startsWith('tractlet/ort.') && exported?.kind !== ReflectionKind.Module;
    // The fields of a type that has no name are told by the comment on what has it.
    const nameless = reflection.parent && (reflection.parent.kind === ReflectionKind.TypeLiteral || reflection.parent.parent?.kind === ReflectionKind.TypeLiteral);
    if (!foreign && !nameless && !reflection.hasComment()) names.push(name);
  }
  return names.sort();
}
