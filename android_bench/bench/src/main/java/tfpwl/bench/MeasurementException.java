package tfpwl.bench;

/** Measuring went wrong in a way that is no error of the library's; {@code code} goes into the result. */
final class MeasurementException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    final String code;

    MeasurementException(String code, String message) {
        super(message);
        this.code = code;
    }
}
