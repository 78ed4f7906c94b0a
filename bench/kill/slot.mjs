/**
 * One name under which runtimes come and go, and all that is known of it: what was acknowledged, and of the one request
 * without an answer, that it may have been done or not (`pending`). One writer a slot, so that the order of its writes
 * is certain; revisions count on across deletes, so that an answer tells which write it shows.
 */
export class Slot {
  name;
  /** What the agent comes as: `{ artifactType, variants }`. */
  artifacts;
  /** What is known to be there: `{ id, desired, versions, endpoints, stamps }`; undefined when nothing is. */
  runtime;
  /** A request that got no answer: `{ what, … }`. Nothing more is written before it has been found out. */
  pending;
  /** Every configuration that was ever sent: revision → `{ variant, crashes }`. */
  sent = new Map();
  /** The highest revision that answered a call on `Default`. */
  served = 0;
  /** Ids of runtimes whose delete was acknowledged, until they were seen to be gone. */
  leaving = new Set();
  /** Ids that must stay unknown from now on. */
  gone = new Set();
  #lastRevision = 0;

  constructor(name, artifacts) {
    this.name = name;
    this.artifacts = artifacts;
  }

  /** A new configuration, about to be sent. */
  nextRevision({ variant, crashes }) {
    const revision = ++this.#lastRevision;
    this.sent.set(revision, { variant, crashes });
    return revision;
  }

  created(id, revision) {
    this.runtime = {
      id,
      desired: revision,
      /** Version → revision, as read. */
      versions: new Map(),
      /** Name → `{ id, targetVersion }`. */
      endpoints: new Map(),
      /** Version → descriptions it may have; the last one acknowledged is the first. */
      stamps: new Map(),
    };
  }

  updated(revision) {
    this.runtime.desired = revision;
  }

  deleted() {
    this.leaving.add(this.runtime.id);
    this.runtime = undefined;
  }

  /** The variants that are needed to run the runtime as it is known. */
  variantsInUse() {
    if (!this.runtime) return [];
    const revisions = [this.runtime.desired, ...this.runtime.versions.values()];
    const names = new Set(revisions.map((revision) => this.sent.get(revision).variant));
    return [...names].map((name) => this.artifacts.variants.get(name));
  }
}
