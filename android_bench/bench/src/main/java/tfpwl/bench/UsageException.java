package tfpwl.bench;

/** What was asked for cannot be done: a wrong argument, or a file that is not what it should be. */
final class UsageException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    UsageException(String message) {
        super(message);
    }
}
