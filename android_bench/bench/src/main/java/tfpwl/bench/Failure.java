package tfpwl.bench;

import java.util.LinkedHashMap;
import java.util.Map;
import tfpwl.BundleException;
import tfpwl.ContractException;
import tfpwl.EngineException;
import tfpwl.IntegrityException;
import tfpwl.ManifestException;
import tfpwl.OutOfMemoryException;
import tfpwl.RuntimeTooOldException;
import tfpwl.SignatureException;

/** Why there is no result: a code for programs, a message for people, and the exit code. */
final class Failure {
    static final int MEASURING_FAILED = 1;
    static final int BAD_INPUT = 2;

    final String code;
    final String message;
    final int exitCode;

    private Failure(String code, String message, int exitCode) {
        this.code = code;
        this.message = message;
        this.exitCode = exitCode;
    }

    static Failure of(Throwable thrown) {
        String message = thrown.getMessage() == null ? thrown.toString() : thrown.getMessage();
        if (thrown instanceof UsageException) {
            return new Failure("usage", message, BAD_INPUT);
        }
        if (thrown instanceof OutputException) {
            return new Failure("output", message, BAD_INPUT);
        }
        if (thrown instanceof BundleException) {
            return new Failure(bundleCode((BundleException) thrown), message, BAD_INPUT);
        }
        if (thrown instanceof MeasurementException) {
            return new Failure(((MeasurementException) thrown).code, message, MEASURING_FAILED);
        }
        if (thrown instanceof OutOfMemoryException || thrown instanceof OutOfMemoryError) {
            return new Failure("out_of_memory", message, MEASURING_FAILED);
        }
        if (thrown instanceof EngineException) {
            return new Failure("engine", message, MEASURING_FAILED);
        }
        return new Failure("internal", thrown.toString(), MEASURING_FAILED);
    }

    private static String bundleCode(BundleException thrown) {
        if (thrown instanceof ManifestException) {
            return "manifest";
        }
        if (thrown instanceof IntegrityException) {
            return "integrity";
        }
        if (thrown instanceof SignatureException) {
            return "signature";
        }
        if (thrown instanceof ContractException) {
            return "contract";
        }
        return thrown instanceof RuntimeTooOldException ? "runtime_too_old" : "bundle";
    }

    Map<String, Object> toFields() {
        Map<String, Object> fields = new LinkedHashMap<String, Object>();
        fields.put("code", code);
        fields.put("message", message);
        return fields;
    }
}
