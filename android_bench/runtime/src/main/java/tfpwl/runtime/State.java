package tfpwl.runtime;

/** What a model is doing; in every state but {@link #CLOSED} it answers. */
public enum State {
    /** Answers with a mix that has student groups; nothing is under way. */
    READY,
    /** Answers while teacher groups load. */
    UPGRADING,
    /** Answers with the whole teacher. */
    COMPLETE,
    /** Answers with the last good mix; the last change did not work out. */
    FAILED,
    /** Gave its memory back. */
    CLOSED;

    /** The state of a model that answers with {@code mix} while nothing is under way. */
    static State atRest(tfpwl.Mix mix) {
        return mix.hasStudent() ? READY : COMPLETE;
    }
}
